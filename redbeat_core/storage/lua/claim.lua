-- Claim due entries: read them for the leader and renew its lease. Changes no entry.
--
-- KEYS: 1 lock (the schedule where there is no lock), 2 schedule, 3 triggers
-- ARGV: 1 the caller's token; '' runs without a lock
--       2 length of the lease, milliseconds
--       3 now, Unix seconds
--       4 most entries to return
--       5 number of due entries to skip because the caller is dispatching them already; if it is
--         not 0, the run-now requests are skipped too
--       6... pairs of key and digest: entries that the caller cannot run; each is skipped while
--            its content has that digest ('': always)
-- Returns {'lost', holder} or {'ok', next due score or false, JSON}. The JSON is one text because a
--   client reads it much faster than thousands of replies: a list of entries, {key,
--   {score, 'ok' | 'fault', fields...}}, and a list of requests, {stream id, request or false,
--   its age in milliseconds}. A fourth element is the error if the requests cannot be read.
local lock, schedule, triggers = KEYS[1], KEYS[2], KEYS[3]
if ARGV[1] ~= '' then
  local holder = redis.call('GET', lock)
  if holder ~= ARGV[1] then
    return {'lost', holder}
  end
  redis.call('PEXPIRE', lock, ARGV[2])
end

local digest_by_key = {}
local skipping = 0
for i = 6, #ARGV, 2 do
  digest_by_key[ARGV[i]] = ARGV[i + 1]
  skipping = skipping + 1
end

local limit = tonumber(ARGV[4])
local due = redis.call(
  'ZRANGEBYSCORE', schedule, 0, ARGV[3], 'LIMIT', ARGV[5], limit + skipping)
local entries = {}
for _, key in ipairs(due) do
  local digest = digest_by_key[key]
  local loaded = digest ~= '' and load_entry(key, schedule, FIELDS)
  if digest and loaded then
    local parts = {}
    for i = 1, 1 + #FIELDS do
      parts[i] = loaded[i + 1] or ''
    end
    if redis.sha1hex(table.concat(parts, '\0')) == digest then
      loaded = nil
    end
  end
  if loaded and #entries < limit then
    entries[#entries + 1] = {key, loaded}
  end
end

local upcoming = redis.call(
  'ZRANGEBYSCORE', schedule, '(' .. ARGV[3], '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local requests = {}
if ARGV[5] ~= '0' then
  return {'ok', upcoming[2] or false, cjson.encode({entries, requests})}
end
local waiting = redis.pcall('XRANGE', triggers, '-', '+', 'COUNT', limit + skipping)
if waiting.err then
  return {'ok', upcoming[2] or false, cjson.encode({entries, requests}), waiting.err}
end
if #waiting > 0 then
  -- One clock measures the age: the stream id holds this server's time of the request.
  local clock = redis.call('TIME')
  local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)
  for _, message in ipairs(waiting) do
    local text = false
    for i = 1, #message[2], 2 do
      if message[2][i] == 'request' then
        text = message[2][i + 1]
      end
    end
    requests[#requests + 1] = {message[1], text, now - tonumber(string.match(message[1], '^%d+'))}
  end
end
return {'ok', upcoming[2] or false, cjson.encode({entries, requests})}
