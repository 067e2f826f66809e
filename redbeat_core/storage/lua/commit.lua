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
--             {field, value, ...}, claimed `due` field}
--           {'trigger', broker commands, events, stream id, key, version (key '': whatever has
--             become of the entry), meta, {field, value, ...} (empty leaves it as it is), new
--             score ('' leaves it)} or
--           {'note', broker commands, events} or
--           {'filled', number of a form, key, claimed score, version, new score, value, ...}; with
--             number 0 the broker commands are in the place of the message's own values
--         a broker command is {database, words...}, an event JSON without its closing brace
--       6 the forms that 'filled' items are filled into: JSON, {meta, event, {database, list,
--         message}, ...}, each a text in pieces: texts, and numbers of values of the item
-- Returns {'lost', holder}, {'moved'} (this is another server: nothing was done) or
--   {'ok', {number of an item, 'stale' | an error's text, ...}} for those not done. An item is done as a whole or
--   not at all. Where the server takes no writes at all, its error; nothing was done then, either.
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

-- The text of the error that a command gave, if it gave one; Redis 6 puts in front of some where
-- the script is.
local function failure(reply)
  local err = type(reply) == 'table' and reply.err
  return err and string.gsub(err, '^@user_script: ?%d+: ', '') or nil
end

local function execute(database, ...)
  if database == home then
    return failure(redis.pcall(...))
  end
  local err = failure(redis.pcall('SELECT', database))
  if not err then
    err = failure(redis.pcall(...))
  end
  redis.call('SELECT', home)
  return err
end

-- Take back the first `count` of these commands. A list's head is still what was just put there.
local function unsend(commands, count)
  for i = count, 1, -1 do
    local command = commands[i]
    if command[2] == 'LPUSH' then
      execute(command[1], 'LPOP', command[3], #command - 3)
    end
  end
end

local function send(commands)
  for i, command in ipairs(commands) do
    local err = execute(unpack(command))
    if err then
      unsend(commands, i - 1)
      return err
    end
  end
end

-- `due` tells the nominal time, which the score alone need not; false: never mind.
local function is_as_seen(key, version, due)
  local content = redis.pcall('HMGET', key, 'definition', 'policy', 'state', 'due')
  return not content.err
    and version_of(content[1], content[2], content[3]) == version
    and (not due or (content[4] or '') == due)
end

local function advance(key, item)
  local err = failure(redis.pcall('ZADD', schedule, item[7], key))
  if err then
    return err
  end
  err = failure(redis.pcall('HSET', key, unpack(item[8])))
  if err then
    redis.call('ZADD', schedule, item[5], key)
  end
  return err
end

-- Take a request, and count its run as the entry's last one if it is to.
local function take(stream_id, item)
  local key, before, fields, score = item[5], item[7], item[8], item[9]
  local err
  if #fields > 0 then
    err = failure(redis.pcall('HSET', key, unpack(fields)))
    if not err and score ~= '' then
      err = failure(redis.pcall('ZADD', schedule, score, key))
    end
  end
  err = err or failure(redis.pcall('XDEL', triggers, stream_id))
  if err and #fields > 0 then
    if before == '' then
      redis.pcall('HDEL', key, 'meta')
    else
      redis.pcall('HSET', key, 'meta', before)
    end
  end
  return err
end

-- What a server says that takes no writes now, whoever asks.
local REFUSES_ALL = {OOM = 1, READONLY = 1, MISCONF = 1, NOREPLICAS = 1, MASTERDOWN = 1}

local forms = cjson.decode(ARGV[6])

-- Where in the pieces of a text the values come, found out once.
local function prepared(pieces)
  local holes, values = {}, {}
  for i, piece in ipairs(pieces) do
    if type(piece) == 'number' then
      holes[#holes + 1], values[#values + 1] = i, piece
    end
  end
  return {pieces, holes, values}
end
for i, form in ipairs(forms) do
  if i > 2 then
    form[3] = prepared(form[3])
  else
    forms[i] = prepared(form)
  end
end

local function filled(form, item)
  local pieces, holes, values = form[1], form[2], form[3]
  for i = 1, #holes do
    pieces[holes[i]] = item[values[i]]
  end
  return table.concat(pieces)
end

-- The item of an entry that a filled one stands for.
local function entry_of(item)
  local commands = item[14]
  local form = forms[item[2]]
  if form then
    commands = {{form[1], 'LPUSH', form[2], filled(form[3], item)}}
  end
  local fields = {'due', item[6], 'meta', filled(forms[1], item)}
  return {'entry', commands, {filled(forms[2], item)}, item[3], item[4], item[5], item[6], fields}
end

-- Before anything is written: a log that cannot be read ends the script here.
local seq = last_seq(log)
local results, told, done = {}, {}, false
for i, item in ipairs(cjson.decode(ARGV[5])) do
  if item[1] == 'filled' then
    item = entry_of(item)
  end
  local kind, commands, events, key = item[1], item[2], item[3], item[4]
  local result = 'ok'
  if kind == 'entry' then
    if redis.call('ZSCORE', schedule, key) ~= item[5]
        or not is_as_seen(key, item[6], item[9]) then
      result = 'stale'
    end
  elseif kind == 'trigger' then
    if #redis.call('XRANGE', triggers, key, key) == 0
        or item[5] ~= '' and not is_as_seen(item[5], item[6])
        or #item[8] > 0 and (redis.call('HGET', item[5], 'meta') or '') ~= item[7] then
      result = 'stale'
    end
  end
  if result == 'ok' then
    local err = send(commands)
    if not err then
      if kind == 'entry' then
        err = advance(key, item)
      elseif kind == 'trigger' then
        err = take(key, item)
      end
      if err then
        unsend(commands, #commands)
      end
    end
    if err and not done and REFUSES_ALL[string.match(err, '^-?(%u+)')] then
      return redis.error_reply(err)
    end
    result = err or 'ok'
  end
  if result == 'ok' then
    done = true
    for _, text in ipairs(events) do
      told[#told + 1] = text
    end
  end
  if result ~= 'ok' then
    results[#results + 1] = i
    results[#results + 1] = result
  end
end
emit_all(log, channel, maxlen, told, seq)
return {'ok', results}
