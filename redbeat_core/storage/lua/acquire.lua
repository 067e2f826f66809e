-- Acquire the lease if it is free, or renew it if the caller holds it; write the leader's fields.
--
-- KEYS: 1 lock, 2 leader, 3 log, 4 events channel
-- ARGV: 1 token, 2 length of the lease in milliseconds, 3 length of the log,
--       4 the event `leader changed`: JSON without the closing brace, 5... fields of the leader
-- Returns {1, time of this server: seconds, microseconds} or {0, holder, milliseconds left}.
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then
  return {0, holder, redis.call('PTTL', KEYS[1])}
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
local since = redis.call('HGET', KEYS[2], 'since')
local same = holder and redis.call('HGET', KEYS[2], 'token') == ARGV[1]
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[2], 'token', ARGV[1], unpack(ARGV, 5))
if same and since then
  redis.call('HSET', KEYS[2], 'since', since)
end
if not same then
  emit(KEYS[3], KEYS[4], ARGV[3], last_seq(KEYS[3]), ARGV[4])
end
return {1, unpack(redis.call('TIME'))}
