-- Requests and tokens a minute, and requests at a time. Made a function, because few limit them: what
-- it answers is rates(configured, counted, tokens, count).
--
-- A rate is a bucket that leaks `limit` units a minute and holds as many. It is kept as
-- 'used at', used in sixty-thousandths of a unit, so that all of it is whole numbers.

local KINDS = {'requests', 'tokens'}

local function leaked(state, limit)
  local used, at = 0, now
  if state then
    local u, t = match(state, '^(%d+) (%d+)$')
    used, at = tonumber(u), math.max(now, tonumber(t))
    used = math.max(0, used - math.max(0, now - tonumber(t)) * limit)
  end
  return used, at
end

-- ms to wait until `asked` units fit; 0: they fit; nil: they never do. What is larger than the
-- bucket waits for an empty one.
local function wait(used, limit, asked)
  if limit <= 0 then return nil end
  local over = used + math.min(asked, limit) * MINUTE - limit * MINUTE
  return over > 0 and math.ceil(over / limit) or 0
end

-- Counts `tokens` and a request where `count`, in `requests` and `tokens` of the counters; answers
-- with the tightest of each rate and the first refusal: reason, whose (1 key, 2 user,
-- 3 organisation), numbers.
return function(configured, counted, tokens, count)
  local asked, tightest, refusal = {1, tokens}, {-1, 0, 0, -1, 0, 0}, nil
  for i = 1, 3 do
    for r = 1, 2 do
      local kind, limit = KINDS[r], configured[i][r + 3]
      if limit then
        limit = limit + 0
        local used, at = leaked(counted[i][kind], limit)
        local ms = wait(used, limit, asked[r])
        if ms ~= 0 and not refusal then
          refusal = {'RATE_LIMITED', i, {retry = ms or 0, kind = kind, rate = limit}}
        end
        if count then
          used = used + asked[r] * MINUTE
          counted[i][kind] = int(used) .. ' ' .. int(at)
          counted[i].rated = true
        end
        local left = math.max(0, math.floor((limit * MINUTE - used) / MINUTE))
        local p = r * 3 - 3
        if tightest[p + 1] < 0 or left < tightest[p + 2] then
          tightest[p + 1], tightest[p + 2] = limit, left
          tightest[p + 3] = limit > 0 and math.ceil(used / limit) or 0
        end
      end
    end
    local most, _, _, running = configured[i][6], standing(counted[i])
    most = most and most + 0
    if most and running >= most and not refusal then
      refusal = {'RATE_LIMITED', i,
        {retry = most > 0 and 1000 or 0, kind = 'concurrency', rate = most}}
    end
  end
  return tightest, refusal
end
