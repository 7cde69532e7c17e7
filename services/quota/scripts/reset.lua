-- reset: let a user spend again what was told to the audit trail, and no more: what was spent since
-- then counts. The books stay. Joined behind entry.lua.
--
-- KEYS  3 user quota   4 journal
-- ARGV  6 month   7 nano-USD spent in it when it was told   8 user   9 reason   10 request id

local month, spent = ARGV[6], ARGV[7]
redis.call('HSET', KEYS[3], month .. ':reset', spent)
journal(KEYS[4], 'reset', '', ARGV[8] .. '\t', month, '', '', '0', '0', '0', '', '', ARGV[10], ARGV[9])
return head
