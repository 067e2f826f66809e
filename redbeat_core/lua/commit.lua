-- Advance what was dispatched, each item only if nothing changed it since it was claimed; with
-- the broker's messages in the same step where the broker is this server.
--
-- KEYS: 1 lock (the schedule where there is no lock), 2 schedule, 3 triggers, 4 log, 5 channel
-- ARGV: 1 the caller's token; '' runs without a lock
--       2 length of the log
--       3 number of this connection's database
--       4 the run_id of the server that the broker's messages are meant for; '' any
--       5 the items: JSON, a list of
--           {'entry', broker commands, events, key, claimed score, version, new score,
--             new meta ('' leaves it), new `due` field}
--           {'trigger', broker commands, events, stream id} or
--           {'note', broker commands, events}
--         a broker command is {database, words...}, an event JSON without its closing brace
-- Returns {'lost', holder}, {'moved'} (this is another server: nothing was done) or
--   {'ok', result of each item: 'ok' | 'stale' | an error's text}.
local lock, schedule, triggers, log, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if ARGV[1] ~= '' then
  local holder = redis.call('GET', lock)
  if holder ~= ARGV[1] then
    return {'lost', holder}
  end
end
if ARGV[4] ~= '' then
  -- After a failover this may be another server than the one that the workers read from.
  local info = redis.pcall('INFO', 'server')
  if type(info) == 'string' and string.match(info, 'run_id:(%w+)') ~= ARGV[4] then
    return {'moved'}
  end
end
local maxlen, home = ARGV[2], ARGV[3]
local function send(commands)
  for _, command in ipairs(commands) do
    local database = table.remove(command, 1)
    local reply
    if database ~= home then
      reply = redis.pcall('SELECT', database)
      if not (type(reply) == 'table' and reply.err) then
        reply = redis.pcall(unpack(command))
      end
      redis.call('SELECT', home)
    else
      reply = redis.pcall(unpack(command))
    end
    if type(reply) == 'table' and reply.err then
      return reply.err
    end
  end
end

local results, told = {}, {}
for i, item in ipairs(cjson.decode(ARGV[5])) do
  local kind, commands, events = item[1], item[2], item[3]
  local result = 'ok'
  local key = item[4]
  if kind == 'entry' then
    if redis.call('ZSCORE', schedule, key) ~= item[5] then
      result = 'stale'
    else
      local content = redis.pcall('HMGET', key, 'definition', 'policy', 'state')
      if content.err or version_of(content[1], content[2], content[3]) ~= item[6] then
        result = 'stale'
      end
    end
  elseif kind == 'trigger' then
    if #redis.call('XRANGE', triggers, key, key) == 0 then
      result = 'stale'
    end
  end
  if result == 'ok' then
    -- First what may fail: then nothing else of this item has been done.
    result = send(commands) or 'ok'
  end
  if result == 'ok' then
    if kind == 'entry' then
      if item[8] ~= '' then
        redis.call('HSET', key, 'meta', item[8], 'due', item[9])
      else
        redis.call('HSET', key, 'due', item[9])
      end
      redis.call('ZADD', schedule, item[7], key)
    elseif kind == 'trigger' then
      redis.call('XDEL', triggers, key)
    end
    for _, text in ipairs(events) do
      told[#told + 1] = text
    end
  end
  results[i] = result
end
emit_all(log, channel, maxlen, told)
return {'ok', results}
