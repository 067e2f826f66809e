-- Record that this beat is alive and publish its heartbeat, which is not logged.
--
-- KEYS: 1 beats, 2 log, 3 events channel
-- ARGV: 1 token, 2 facts: JSON, 3 the event: JSON without the closing brace,
--       4... tokens of beats to remove, whose heartbeats stopped long ago
-- Returns the number of the log's newest event and the time of this server: seconds, microseconds.
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
if #ARGV > 3 then
  redis.call('HDEL', KEYS[1], unpack(ARGV, 4))
end
local seq = last_seq(KEYS[2])
redis.call('PUBLISH', KEYS[3], ARGV[3] .. ',"seq":' .. string.format('%.0f', seq) .. '}')
return {seq, unpack(redis.call('TIME'))}
