-- forgivable: what a reset would let a user spend again.
--
-- KEYS  1 user quota   2 org quota
-- Answers {month that pays now, spent in it, the part forgiven before}, nano-USD.

local month = paying_month(KEYS[2], clock())
local found = redis.call('HMGET', KEYS[1], month .. ':spent', month .. ':reset')
return {month, tonumber(found[1] or 0), tonumber(found[2] or 0)}
