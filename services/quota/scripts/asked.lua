-- What settle, reserve and exchange are asked, all in one form. Joined in front of them.
--
-- KEYS  1 org config   2 org quota   3 holds   4 journal
--       then for each owner: user config, user quota, key config, key quota
--       then for each month: usage records, ranking by cost, ranking by requests, index of the records
--       then for each settlement, and then for each reserve: hold
-- ARGV  1 keep, ms: how long outcomes are remembered and unknown reservations accepted
--       2 the same for fail-open requests and expired holds
--       3 lease, ms   4 largest difference to the caller's clock, ms
--       5 number of owners   6 of months   7 of settlements
--       then for each owner: user, key
--       then for each month, which are those of the settlements: its name
--       then all settlements, packed; then all reserves, packed

local now, owner_count, month_count = clock(), ARGV[5] + 0, ARGV[6] + 0
local org_config, org_quota, open_holds, stream = unpack(KEYS, 1, 4)
local first = 4 + 4 * owner_count + 4 * month_count  -- and behind it, holds
local last = first + ARGV[7]                         -- of the settlements
local holds, owners = kept(KEYS, first + 1), {}
for n = 1, owner_count do
  local user, api_key, at = ARGV[6 + 2 * n], ARGV[7 + 2 * n], 4 * n
  owners[n] = {user = user, key = api_key, name = user .. '\t' .. api_key,
    lease = ' ' .. user .. ' ' .. api_key, counted = {KEYS[at + 4], KEYS[at + 2], org_quota}}
end
