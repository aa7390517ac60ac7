/** What a client asks of a watch, decoded and checked. */
import { status } from '@grpc/grpc-js';
import type { PositionTokens } from '../../application/position-token.ts';
import { comparePositions, type Position } from '../../eventstore/port.ts';
import type { WatchOptions } from '../../gen/tallyback/common/v1/watch.ts';
import { millisecondsOf } from '../duration.ts';
import { ApiError, invalidArgument } from '../errors.ts';
import type { Moment, ResumeTokens } from './resume-token.ts';

export interface WatchSettings {
  readonly resumeFrom: Moment | undefined;
  readonly changesOnly: boolean;
  readonly notCaughtUpBefore: Position | undefined;
  readonly conflationMs: number;
  readonly heartbeatMs: number;
  readonly failOnReset: boolean;
}

export interface SettingsParts {
  readonly tokens: PositionTokens;
  readonly head: () => Promise<Position>;
  readonly limits: { readonly heartbeatMs: number };
}

/** Throws INVALID_ARGUMENT, or OUT_OF_RANGE for a position the log does not reach. */
export async function readSettings(
  { tokens, head, limits }: SettingsParts,
  options: WatchOptions | undefined,
  resumeTokens: ResumeTokens,
  scope: string,
): Promise<WatchSettings> {
  const resumeToken = options?.resumeToken ?? '';
  const before = options?.notCaughtUpBefore ?? '';
  return {
    resumeFrom: resumeToken === '' ? undefined : resumeFrom(resumeTokens, scope, resumeToken),
    changesOnly: options?.changesOnly ?? false,
    notCaughtUpBefore: before === '' ? undefined : await reachable(tokens, head, before),
    conflationMs: options?.conflationWindow ? millisecondsOf(options.conflationWindow) : 0,
    heartbeatMs: options?.heartbeatInterval ? millisecondsOf(options.heartbeatInterval) : limits.heartbeatMs,
    failOnReset: options?.failOnReset ?? false,
  };
}

function resumeFrom(resumeTokens: ResumeTokens, scope: string, token: string): Moment {
  const moment = resumeTokens.decode(scope, token);
  if (moment === 'invalid')
    throw invalidArgument(
      'RESUME_TOKEN_INVALID',
      'this installation did not give out that token',
      'options.resume_token',
    );
  if (moment === 'foreign')
    throw invalidArgument(
      'RESUME_TOKEN_FOREIGN',
      'the token is of another watch, or of another filter',
      'options.resume_token',
    );
  return moment;
}

async function reachable(
  tokens: PositionTokens,
  head: () => Promise<Position>,
  token: string,
): Promise<Position> {
  const position = tokens.decode(token);
  if (!position)
    throw invalidArgument(
      'POSITION_TOKEN_INVALID',
      'this installation did not give out that token',
      'options.not_caught_up_before',
    );
  if (comparePositions(await head(), position) < 0)
    throw new ApiError(status.OUT_OF_RANGE, 'POSITION_UNKNOWN', 'the log does not reach that token');
  return position;
}
