-- Prelude, put before every script that changes data.

-- Return the number in the id of the log's newest event; 0 for a log that never had an event.
local function last_seq(log)
  local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)
  if #newest > 0 then
    return tonumber(string.match(newest[1][1], '^(%d+)'))
  end
  if redis.call('EXISTS', log) == 1 then
    -- The log was trimmed to nothing, but the stream still refuses ids below its last one.
    local info = redis.call('XINFO', 'STREAM', log)
    for i = 1, #info, 2 do
      if info[i] == 'last-generated-id' then
        return tonumber(string.match(info[i + 1], '^(%d+)'))
      end
    end
  end
  return 0
end

-- Append one event to the log and publish it. `text` is its JSON without the closing brace.
local function emit(log, channel, maxlen, seq, text)
  seq = seq + 1
  local number = string.format('%.0f', seq)
  local event = text .. ',"seq":' .. number .. '}'
  redis.call('XADD', log, 'MAXLEN', '~', maxlen, number .. '-0', 'event', event)
  redis.call('PUBLISH', channel, event)
  return seq
end

-- Append many events and publish them up to 100 at a time as one JSON list (the CloudEvents JSON
-- batch format), which costs every subscriber far less than one message per event.
-- `seq` is the number of the log's newest event.
local function emit_all(log, channel, maxlen, texts, seq)
  if #texts == 1 then
    emit(log, channel, maxlen, seq, texts[1])
    return
  end
  local batch = {}
  for i, text in ipairs(texts) do
    seq = seq + 1
    local number = string.format('%.0f', seq)
    local event = text .. ',"seq":' .. number .. '}'
    redis.call('XADD', log, 'MAXLEN', '~', maxlen, number .. '-0', 'event', event)
    batch[#batch + 1] = event
    if #batch == 100 or i == #texts then
      redis.call('PUBLISH', channel, '[' .. table.concat(batch, ',') .. ']')
      batch = {}
    end
  end
end

-- Return the version of an entry: the same digest as version_of() of entries/record.py.
local function version_of(definition, policy, state)
  return redis.sha1hex(
    (definition or '') .. '\0' .. (policy or '') .. '\0' .. (state or ''))
end

-- Return one entry as a list: score, 'ok', then its fields; false for each missing value. For a
-- key that is no hash: score, 'fault', the error.
local function load_entry(key, schedule, fields)
  local score = redis.call('ZSCORE', schedule, key)
  local values = redis.pcall('HMGET', key, unpack(fields))
  if values.err then
    return {score, 'fault', values.err}
  end
  return {score, 'ok', unpack(values, 1, #fields)}
end

-- Return a score as JSON: null for an infinite score, which JSON cannot express.
local function json_number(score)
  if not score or string.find(score, '[^%d%.eE+-]') then
    return 'null'
  end
  return score
end

local FIELDS = {
  'definition', 'meta', 'policy', 'state', 'outcome', 'due', 'counts', 'zone', 'progress'
}
