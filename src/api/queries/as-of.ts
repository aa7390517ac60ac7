/** Which events count for an answer at a point in time. */
import { status } from '@grpc/grpc-js';
import { comparePositions, type Position } from '../../eventstore/port.ts';
import type { AsOf } from '../../gen/tallyback/common/v1/as_of.ts';
import type { ReadConsistency, ReadInfo } from '../../gen/tallyback/common/v1/consistency.ts';
import type { Call } from '../call.ts';
import type { ApiContext } from '../context.ts';
import { ApiError, invalidArgument } from '../errors.ts';

/** How far a client's clock may be ahead of ours when it asks for "now", in milliseconds. */
const clockSkewMs = 60_000;

/** Those recorded up to `through` whose business time is not after `until`. */
export interface PointInTime {
  readonly through: Position;
  /** Undefined: whenever they happened. */
  readonly until: Date | undefined;
}

export async function pointInTime(
  { tokens, head, clock }: Pick<ApiContext, 'tokens' | 'head' | 'clock'>,
  { positionToken, businessTime }: AsOf,
  consistency: ReadConsistency | undefined,
): Promise<PointInTime> {
  if (consistency)
    throw invalidArgument(
      'AS_OF_WITH_CONSISTENCY',
      'a point in time is read from the log, and waits for no read model: leave one of the two out',
      'consistency',
    );
  if (positionToken === '' && businessTime === undefined)
    throw invalidArgument('AS_OF_EMPTY', 'a position token or a business time is needed', 'as_of');
  const asked = positionToken === '' ? undefined : tokens.decode(positionToken);
  if (positionToken !== '' && asked === undefined)
    throw invalidArgument(
      'POSITION_TOKEN_INVALID',
      'this installation did not give out that token',
      'as_of.position_token',
    );
  if (businessTime && businessTime.getTime() > clock().getTime() + clockSkewMs)
    throw outOfRange('BUSINESS_TIME_IN_FUTURE', 'that time has not come yet', 'as_of.business_time');
  const end = await head();
  if (asked && comparePositions(asked, end) > 0)
    throw outOfRange('POSITION_UNKNOWN', 'the log does not reach that token', 'as_of.position_token');
  return { through: asked ?? end, until: businessTime };
}

const outOfRange = (reason: string, message: string, field: string): ApiError =>
  new ApiError(status.OUT_OF_RANGE, reason, message, {
    violations: [{ field, description: message, reason }],
  });

/** What such an answer was served at; it lacks nothing of what it speaks of. */
export function readAsOf(positionToken: string, call: Pick<Call, 'setPosition'>): ReadInfo {
  call.setPosition(positionToken);
  return { positionToken, stale: false, lagEvents: 0n };
}
