-- Commit a batch: advance each dispatched entry, unless it changed after its claim. Where the
-- broker is this server, publish the messages in the same atomic step.
--
-- KEYS: 1 lock (the schedule where there is no lock), 2 schedule, 3 triggers, 4 log, 5 channel
-- ARGV: 1 the caller's token; '' runs without a lock
--       2 length of the log
--       3 number of this connection's database
--       4 run_id of the server that must receive the broker's messages; '' any
--       5 the items: JSON, a list of
--           {'entry', broker commands, events, key, claimed score, version, new score,
--             {field, value, ...}, claimed `due` field}
--           {'trigger', broker commands, events, stream id, key, version (key '': the entry is
--             not checked), meta, {field, value, ...} (empty: no field changes), new
--             score ('' leaves it)} or
--           {'note', broker commands, events} or
--           a bulk run, in the order of BulkItem in commit_steps.py: 1 'bulk', 2 template, 3 key,
--             4 claimed, 5 version, 6 score, 7 run_count, 8 nominal, 9 task_id, 10 tag,
--             11 event_id, 12 lateness, 13 subject, 14 body, 15 argsrepr, 16 kwargsrepr; with
--             template 0, body holds the broker commands
--         a broker command is {database, command, argument, ...}; an event is JSON without its
--         closing brace
--       6 the templates of bulk runs: JSON, {meta, event, {database, list, message}, ...}; meta,
--         event and message are lists of pieces: a text, or the place of a value of the item
-- Returns {'lost', holder}, {'moved'} (this is another server: nothing was committed) or
--   {'ok', {number of an item, 'stale' | an error's text, ...}}, which lists the items that were
--   not committed. Each item is committed as a whole or not at all. If the server refuses all
--   writes, the script returns its error, and nothing was committed.
local TEMPLATE, KEY, CLAIMED, VERSION, SCORE, BODY = 2, 3, 4, 5, 6, 14
local lock, schedule, triggers, log, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
if ARGV[1] ~= '' then
  local holder = redis.call('GET', lock)
  if holder ~= ARGV[1] then
    return {'lost', holder}
  end
end
if ARGV[4] ~= '' then
  -- After a failover the workers may read from another server than this one.
  local info = redis.pcall('INFO', 'server')
  if type(info) == 'string' and string.match(info, 'run_id:(%w+)') ~= ARGV[4] then
    return {'moved'}
  end
end
local maxlen, home = ARGV[2], ARGV[3]

-- Return the error text of a reply, or nil. Redis 6 prefixes some errors with the position in the
-- script, which is removed.
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

-- Undo the first `count` commands. The script is atomic, so the head of each list still is the
-- message that it pushed.
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

-- Whether the entry still is as claimed. `due` is compared too, since the score alone need not
-- determine the nominal time; false: do not compare it.
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

-- Remove a run-now request and, if the item has fields, record its run as the entry's last one.
local function remove_request(stream_id, item)
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

-- Errors of a server that refuses all writes at present, from every client.
local REFUSES_ALL = {OOM = 1, READONLY = 1, MISCONF = 1, NOREPLICAS = 1, MASTERDOWN = 1}

local templates = cjson.decode(ARGV[6])

-- Locate the places of the values in a template once, for all items.
local function compile(pieces)
  local holes, places = {}, {}
  for i, piece in ipairs(pieces) do
    if type(piece) == 'number' then
      holes[#holes + 1], places[#places + 1] = i, piece
    end
  end
  return {pieces, holes, places}
end
for i, template in ipairs(templates) do
  if i > 2 then
    template[3] = compile(template[3])
  else
    templates[i] = compile(template)
  end
end

local function render(template, item)
  local pieces, holes, places = template[1], template[2], template[3]
  for i = 1, #holes do
    pieces[holes[i]] = item[places[i]]
  end
  return table.concat(pieces)
end

-- Build the 'entry' item of a bulk run.
local function entry_of(item)
  local commands = item[BODY]
  local message = templates[item[TEMPLATE]]
  if message then
    commands = {{message[1], 'LPUSH', message[2], render(message[3], item)}}
  end
  local fields = {'due', item[SCORE], 'meta', render(templates[1], item)}
  local event = render(templates[2], item)
  return {
    'entry', commands, {event}, item[KEY], item[CLAIMED], item[VERSION], item[SCORE], fields
  }
end

-- Read the log before any write: if it is unreadable, the script ends here with no change.
local seq = last_seq(log)
local results, emitted, done = {}, {}, false
for i, item in ipairs(cjson.decode(ARGV[5])) do
  if item[1] == 'bulk' then
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
        err = remove_request(key, item)
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
      emitted[#emitted + 1] = text
    end
  end
  if result ~= 'ok' then
    results[#results + 1] = i
    results[#results + 1] = result
  end
end
emit_all(log, channel, maxlen, emitted, seq)
return {'ok', results}
