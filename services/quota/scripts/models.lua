-- Whether the models that key, user and organisation allow have the one that is asked for. Made a
-- function, because few restrict them: what it answers is forbids(configured, model, named).

-- Whether `name` matches `pattern`, where only * is special: each literal piece is found as early
-- as possible, the last one at the end.
local function matches(pattern, name)
  local first, rest = match(pattern, '^([^*]*)%*(.*)$')
  if not first then return pattern == name end
  if string.sub(name, 1, #first) ~= first then return false end
  local at = #first + 1
  while true do
    local piece, more = match(rest, '^([^*]*)%*(.*)$')
    if not piece then break end
    local _, stop = string.find(name, piece, at, true)
    if not stop then return false end
    at, rest = stop + 1, more
  end
  return #name - #rest + 1 >= at and string.sub(name, #name - #rest + 1) == rest
end

local function allowed(models, model, named)
  if not models or models == '' then return true end
  for pattern in string.gmatch(models, '%S+') do
    if matches(pattern, model) or matches(pattern, named) then return true end
  end
  return false
end

-- Who of the three (1 key, 2 user, 3 organisation) does not allow the model; nil: nobody.
return function(configured, model, named)
  for i = 1, 3 do
    if not allowed(configured[i][3], model, named) then return i end
  end
end
