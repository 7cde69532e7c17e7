-- exchange: settle, then reserve, for one organisation in one step.
--
-- KEYS, ARGV  as asked.lua tells.
-- Answers {what settle answers, what reserve answers}.
--
-- Counters are read and written once for both. What was settled is written whatever becomes of what
-- is to be reserved.

local booked = booking()
local done, admitted = pcall(admitting)
write()
if not done then error(admitted, 0) end
return {booked, admitted}
