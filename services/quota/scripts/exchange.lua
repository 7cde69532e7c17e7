-- exchange: settle, then reserve, for one organisation in one step.
--
-- KEYS  those of settle, then those of reserve
-- ARGV  1 number of settle's keys   2 of its arguments
--       then the arguments of settle, then those of reserve
-- Answers {what settle answers, what reserve answers}.
--
-- Counters are read and written once for both. What was settled is written whatever becomes of what
-- is to be reserved.

local now, keys, args = clock(), ARGV[1] + 0, ARGV[2] + 2
local booked = booking(now, 0, keys, 2, args)
local done, admitted = pcall(admitting, now, keys, #KEYS, args, #ARGV)
write()
if not done then error(admitted, 0) end
return {booked, admitted}
