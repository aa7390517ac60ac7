/** Durations of the contract, as milliseconds. */
import type { Duration } from './gen/google/protobuf/duration.ts';

export const millisecondsOf = (duration: Duration | undefined): number | undefined =>
  duration && Number(duration.seconds) * 1_000 + duration.nanos / 1_000_000;
