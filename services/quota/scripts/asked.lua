-- What settle, reserve and exchange are asked, all in one form. Joined in front of them.
--
-- KEYS  1 org config   2 org quota   3 holds   4 journal
--       then for each owner: user config, user quota, key config, key quota
--       then for each month: usage records, ranking by cost, ranking by requests, index of the records
--       then for each settlement, and then for each reserve: hold
-- ARGV  1 all that follows, packed; numbers are doubles, texts have a zero behind:
--       keep, ms: how long outcomes are remembered and unknown reservations accepted; the same for
--       fail-open requests and expired holds; lease, ms; largest difference to the caller's clock,
--       ms; number of owners, of months, of settlements
--       then for each owner: user; key
--       then for each month, which are those of the settlements: its name
--       then all settlements; then all reserves

local packed, now = ARGV[1], clock()
local keep_ms, keep_long_ms, lease_ms, skew, owner_count, month_count, settle_count, place =
  unpacked('<ddddddd', packed)
local org_config, org_quota, open_holds, stream = unpack(KEYS, 1, 4)
local first = 4 + 4 * owner_count + 4 * month_count  -- and behind it, holds
local found, holds, owners, months = call('MGET', unpack(KEYS, first + 1)), {}, {}, {}
for n = 1, #found do holds[KEYS[first + n]] = found[n] end
for n = 1, owner_count do
  local user, api_key, behind = unpacked('ss', packed, place)
  local at = 4 * n
  place = behind
  owners[n] = {user = user, place = '|' .. user .. '|' .. api_key .. '|',
    name = user .. '\t' .. api_key, lease = ' ' .. user .. ' ' .. api_key,
    counted = {KEYS[at + 4], KEYS[at + 2], org_quota}}
end
for n = 1, month_count do
  local name, behind = unpacked('s', packed, place)
  local at = 4 * owner_count + 4 * n
  place = behind
  months[n] = {name = name, records = KEYS[at + 1], by_cost = KEYS[at + 2],
    by_requests = KEYS[at + 3], index = KEYS[at + 4], made = {}}
end
