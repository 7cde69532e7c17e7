-- exchange: settle, then reserve, for one organisation in one step. Joined behind both of them, made
-- functions: booking and admitting.
--
-- KEYS  those of settle, then those of reserve
-- ARGV  1 number of settle's keys   2 of its arguments
--       then the arguments of settle, then those of reserve
-- Answers {what settle answers, what reserve answers}.

local keys, args = ARGV[1] + 0, ARGV[2] + 2
local booked = booking({unpack(KEYS, 1, keys)}, {unpack(ARGV, 3, args)})
return {booked, admitting({unpack(KEYS, keys + 1)}, {unpack(ARGV, args + 1)})}
