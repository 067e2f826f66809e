-- Read some entries for the reconciliation: skip pages until the first one that differs from its
-- last reading. Changes nothing.
--
-- KEYS: 1 schedule
-- ARGV: 1 cursor to continue from; '0' begins
--       2 number of entries in a page (about)
--       3 most entries to skip (about)
--       4... pairs of cursor and digest: the pages at their last reading
-- Returns {cursor to continue from, cursor of the page that changed or false, its digest, its entries: JSON,
--   a list of {key, score, 'ok' | 'fault', fields...}}.
local schedule, cursor = KEYS[1], ARGV[1]
local digest_at = {}
for i = 4, #ARGV, 2 do
  digest_at[ARGV[i]] = ARGV[i + 1]
end

-- The values in `meta` change with every run, so the digest covers only whether it is readable.
local META = '^{"last_run_at": {"__type__": "datetime",[^{}]*}[^{}]*}$'

local passed = 0
repeat
  local scanned = redis.call('ZSCAN', schedule, cursor, 'COUNT', ARGV[2])
  local members, parts = scanned[2], {}
  for i = 1, #members, 2 do
    local key, score = members[i], members[i + 1]
    parts[#parts + 1] = key
    local values = redis.pcall('HMGET', key, 'definition', 'policy', 'state', 'meta', 'due')
    if values.err then
      parts[#parts + 1] = values.err
    else
      for field = 1, 3 do
        parts[#parts + 1] = values[field] or ''
      end
      local meta = values[4] or ''
      parts[#parts + 1] = string.find(meta, META) and 'meta' or meta
      -- For a scheduled entry the digest leaves out the due time, which changes with every run.
      parts[#parts + 1] = string.sub(score, 1, 1) == '-' and (values[5] or '') or 'due'
    end
  end
  local digest = redis.sha1hex(table.concat(parts, '\0'))
  if digest_at[cursor] ~= digest then
    local entries = {}
    for i = 1, #members, 2 do
      local loaded = load_entry(members[i], schedule, FIELDS)
      entries[#entries + 1] = {members[i], unpack(loaded, 1, 2 + #FIELDS)}
    end
    return {scanned[1], cursor, digest, cjson.encode(entries)}
  end
  passed = passed + #members / 2
  cursor = scanned[1]
until cursor == '0' or passed >= tonumber(ARGV[3])
return {cursor, false}
