-- For wrk: ask for random frames of one instance, and print what came as one line of JSON.
local prefix = os.getenv("BENCH_PREFIX")
local suffix = os.getenv("BENCH_SUFFIX")
local frames = tonumber(os.getenv("BENCH_FRAMES"))
local headers = { Accept = "image/jpeg" }

function init(args)
  math.randomseed(417)
end

function request()
  return wrk.format("GET", prefix .. math.random(1, frames) .. suffix, headers)
end

function done(summary, latency, requests)
  local errors = summary.errors
  io.write(string.format(
    '{"requests": %d, "bytes": %d, "microseconds": %d, "p50": %d, "p99": %d, "errors": %d}\n',
    summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout
  ))
end
