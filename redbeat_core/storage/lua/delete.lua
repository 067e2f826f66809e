-- Delete one entry if it still is as the caller read it, and emit an event.
--
-- KEYS: 1 entry hash, 2 schedule, 3 log, 4 events channel, 5 statics
-- ARGV: 1 expected version; '' any
--       2 length of the log
--       3 the event: JSON without the closing brace
--       4 the entry's name to remove from the statics; '' leaves them
--       5 expected score; '' any
-- Returns {'ok', seq}, {'gone'} or {'conflict', score, 'ok' | 'fault', fields...}.
local entry, schedule, log, channel, statics = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local before = load_entry(entry, schedule, FIELDS)
if ARGV[1] ~= '' then
  if before[2] == 'fault' or version_of(before[3], before[5], before[6]) ~= ARGV[1] then
    return {'conflict', unpack(before, 1, 2 + #FIELDS)}
  end
end
if ARGV[5] ~= '' and tonumber(before[1] or '') ~= tonumber(ARGV[5]) then
  return {'conflict', unpack(before, 1, 2 + #FIELDS)}
end
if ARGV[4] ~= '' then
  redis.call('SREM', statics, ARGV[4])
end
local removed = redis.call('ZREM', schedule, entry) + redis.call('DEL', entry)
if removed == 0 then
  return {'gone'}
end
return {'ok', emit(log, channel, ARGV[2], last_seq(log), ARGV[3])}
