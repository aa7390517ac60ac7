/** How far the parts of Tallyback are. */
import { comparePositions, type Position } from '../../eventstore/port.ts';
import { SystemServiceService as methods } from '../../gen/tallyback/system/v1/system_service.ts';
import { readModels } from '../../projections/index.ts';
import type { ApiContext } from '../context.ts';
import { bindService, type BoundService } from '../handler.ts';
import type { Freshness } from './consistency.ts';

export function systemService(context: ApiContext, freshness: Freshness): BoundService {
  const { progress, head, rpc, tokens, countEvents } = context;

  const lag = (position: Position, end: Position): bigint =>
    comparePositions(position, end) >= 0 ? 0n : (countEvents?.(position, end) ?? -1n);

  return bindService(methods, {
    listCheckpoints: rpc.unary(methods.listCheckpoints, async () => {
      // The end of the log first: what is read after it can only be further.
      const end = await head();
      const checkpoints = (await progress.list()).map(({ name, position }) => ({
        name,
        positionToken: tokens.encode(position),
        caughtUp: comparePositions(position, end) >= 0,
        lagEvents: lag(position, end),
      }));
      return { checkpoints, headToken: tokens.encode(end) };
    }),

    waitFor: rpc.unary(methods.waitFor, async ({ consistency }, call) => {
      return { read: await freshness.allFresh(readModels, consistency, call) };
    }),
  });
}
