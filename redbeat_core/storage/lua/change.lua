-- Change one entry if it still is as the caller read it, and emit an event.
--
-- KEYS: 1 entry hash, 2 schedule, 3 log, 4 events channel
-- ARGV: 1 expected version: '' any, 'new' the entry must not exist, 'known' it must exist in
--         any version, or a result of version_of()
--       2 length of the log
--       3 head of the event for a new entry: JSON without data and closing brace
--       4 head of the event for an existing entry
--       5 more members of the event's data, as JSON members without braces; may be ''
--       6 new score; '' leaves it
--       7 expected score; '' any
--       8... triples of operation, field, value:
--           set     write the field
--           setnx   write the field unless it exists
--           del     remove the field
--           drop    remove the member `value` from the JSON object in the field
-- Returns {'ok', seq, score, fields...} or {'conflict', score, 'ok' | 'fault', fields...}.
local entry, schedule, log, channel = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local before = load_entry(entry, schedule, FIELDS)
local exists = before[2] == 'ok' and before[3]

if ARGV[1] == 'new' then
  if exists or before[2] == 'fault' then
    return {'conflict', unpack(before, 1, 2 + #FIELDS)}
  end
elseif ARGV[1] == 'known' then
  if not exists then
    return {'conflict', unpack(before, 1, 2 + #FIELDS)}
  end
elseif ARGV[1] ~= '' then
  if before[2] == 'fault' or version_of(before[3], before[5], before[6]) ~= ARGV[1] then
    return {'conflict', unpack(before, 1, 2 + #FIELDS)}
  end
end
if before[2] == 'fault' then
  return redis.error_reply(before[3])
end
if ARGV[7] ~= '' and tonumber(before[1] or '') ~= tonumber(ARGV[7]) then
  return {'conflict', unpack(before, 1, 2 + #FIELDS)}
end

local touched = {}
for i = 8, #ARGV, 3 do
  local operation, field, value = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if operation == 'set' then
    redis.call('HSET', entry, field, value)
  elseif operation == 'setnx' then
    redis.call('HSETNX', entry, field, value)
  elseif operation == 'del' then
    redis.call('HDEL', entry, field)
  elseif operation == 'drop' then
    local text = redis.call('HGET', entry, field)
    local parsed, object = pcall(cjson.decode, text or '')
    if parsed and type(object) == 'table' and object[value] then
      object[value] = nil
      if next(object) == nil then
        redis.call('HDEL', entry, field)
      else
        redis.call('HSET', entry, field, cjson.encode(object))
      end
    end
  end
  touched[#touched + 1] = field
end
if ARGV[6] ~= '' then
  redis.call('ZADD', schedule, ARGV[6], entry)
end

local after = load_entry(entry, schedule, FIELDS)
local members = {}
for i, field in ipairs(FIELDS) do
  local value = after[2 + i]
  for _, name in ipairs(touched) do
    if name == field then
      members[#members + 1] = '"' .. field .. '":' .. (value and cjson.encode(value) or 'null')
      break
    end
  end
end
local data = '"fields":{' .. table.concat(members, ',') .. '},"score":' .. json_number(after[1])
if ARGV[5] ~= '' then
  data = data .. ',' .. ARGV[5]
end
local head = exists and ARGV[4] or ARGV[3]
local seq = emit(log, channel, ARGV[2], last_seq(log), head .. ',"data":{' .. data .. '}')
return {'ok', seq, unpack(after, 1, 2 + #FIELDS)}
