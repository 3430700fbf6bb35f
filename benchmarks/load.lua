-- wrk script: DEPTH requests are written at once, BODY is posted if there is
-- one, and the figures are printed as one line of JSON, because wrk's own report rounds them.

local depth = tonumber(os.getenv("DEPTH") or "1")
local body = os.getenv("BODY") or ""

if body ~= "" then
  wrk.method = "POST"
  wrk.body = body
end

function init(args)
  if depth > 1 then
    local batch = string.rep(wrk.format(), depth)
    -- Defined only here: a script with a request function costs wrk a Lua call
    -- for every write, which an unpipelined load has no need of.
    request = function() return batch end
  end
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"answers": %d, "microseconds": %d, "p50": %d, "p99": %d, "max": %d,'
      .. ' "errors": {"connect": %d, "read": %d, "write": %d, "status": %d,'
      .. ' "timeout": %d}}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency.max,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout))
end
