-- reset: let a user spend the current month's limit again. The books stay; what was spent until
-- now no longer counts against the limit.
--
-- KEYS  1 user quota   2 org quota   3 journal
-- ARGV  1 user   2 reason   3 request id
-- Answers {month, nano-USD forgiven in this month}.

local month = paying_month(KEYS[2], clock())
local spent = redis.call('HGET', KEYS[1], month .. ':spent') or '0'
redis.call('HSET', KEYS[1], month .. ':reset', spent)
journal(KEYS[3], 'reset', '', ARGV[1], '', month, '', '', 0, 0, 0, '', '', ARGV[3], ARGV[2])
return {month, tonumber(spent)}
