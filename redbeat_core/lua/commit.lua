-- Advance what was dispatched, each item only if nothing changed it since it was claimed; with
-- the broker's messages in the same step where the broker is this server.
--
-- KEYS: 1 lock (the schedule where there is no lock), 2 schedule, 3 triggers, 4 log, 5 channel
-- ARGV: 1 the caller's token; '' runs without a lock
--       2 length of the log
--       3 number of this connection's database
--       4 the run_id of the server that the broker's messages are meant for; '' any
--       then the items, one after the other:
--         'entry', key, claimed score, version, new score, new meta ('' leaves it),
--           new `due` field, or
--         'trigger', stream id, or
--         'note'
--         number of broker commands; each: database, number of words, words...
--         number of events; each: JSON without the closing brace
-- Returns {'lost', holder}, {'moved'} (this is another server: nothing was done) or {'ok', result of each item: 'ok' | 'stale' | an error's text}.
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
local seq = last_seq(log)
local at = 5
local function take()
  local value = ARGV[at]
  at = at + 1
  return value
end

local function send(commands)
  for _, command in ipairs(commands) do
    local reply
    if command.database ~= home then
      reply = redis.pcall('SELECT', command.database)
      if not (type(reply) == 'table' and reply.err) then
        reply = redis.pcall(unpack(command.words))
      end
      redis.call('SELECT', home)
    else
      reply = redis.pcall(unpack(command.words))
    end
    if type(reply) == 'table' and reply.err then
      return reply.err
    end
  end
end

local results = {}
while at <= #ARGV do
  local kind = take()
  local result = 'ok'
  local key, claimed, version, score, meta, due, request
  if kind == 'entry' then
    key, claimed, version, score, meta, due = take(), take(), take(), take(), take(), take()
    if redis.call('ZSCORE', schedule, key) ~= claimed then
      result = 'stale'
    else
      local content = redis.pcall('HMGET', key, 'definition', 'policy', 'state')
      if content.err or version_of(content[1], content[2], content[3]) ~= version then
        result = 'stale'
      end
    end
  elseif kind == 'trigger' then
    request = take()
    if #redis.call('XRANGE', triggers, request, request) == 0 then
      result = 'stale'
    end
  end

  local commands = {}
  for i = 1, tonumber(take()) do
    local command = {database = take(), words = {}}
    for j = 1, tonumber(take()) do
      command.words[j] = take()
    end
    commands[i] = command
  end
  if result == 'ok' then
    -- First what may fail: then nothing else of this item has been done.
    result = send(commands) or 'ok'
  end
  if result == 'ok' then
    if kind == 'entry' then
      if meta ~= '' then
        redis.call('HSET', key, 'meta', meta, 'due', due)
      else
        redis.call('HSET', key, 'due', due)
      end
      redis.call('ZADD', schedule, score, key)
    elseif kind == 'trigger' then
      redis.call('XDEL', triggers, request)
    end
  end
  for _ = 1, tonumber(take()) do
    local text = take()
    if result == 'ok' then
      seq = emit(log, channel, maxlen, seq, text)
    end
  end
  results[#results + 1] = result
end
return {'ok', results}
