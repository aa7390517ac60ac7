/** google.protobuf.Duration and milliseconds. */
import type { Duration } from '../gen/google/protobuf/duration.ts';

export const durationOf = (ms: number): Duration => ({
  seconds: BigInt(Math.trunc(ms / 1_000)),
  nanos: Math.round((ms % 1_000) * 1_000_000),
});

export const millisecondsOf = (duration: Duration): number =>
  Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000;
