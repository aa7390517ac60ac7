/**
 * Makes answers as fresh as asked for: waits, within bounds, until a read model has seen a token, or the end of the
 * log — and, if asked, until policies have seen it and the read model has seen what they did. And says of every
 * answer what it was served at.
 */
import { status } from '@grpc/grpc-js';
import { comparePositions, EventStoreUnavailable, type Position } from '../../eventstore/port.ts';
import { OnTimeout, type ReadConsistency, type ReadInfo } from '../../gen/tallyback/common/v1/consistency.ts';
import type { ReadModel } from '../../projections/engine/read-model.ts';
import { checkpointName } from '../../projections/engine/storage.ts';
import type { ApiContext } from '../context.ts';
import type { Ending } from '../ending.ts';
import { ApiError, invalidArgument, quotaFailure, retryAfter } from '../errors.ts';
import { LogEnd } from './log-end.ts';

const defaultWaitMs = 5_000;
/** Left of the call's deadline, so that the client gets an answer that says more than DEADLINE_EXCEEDED. */
const answerMs = 50;
/** The event log is given so long to say where it ends, also where less is to be waited for read models. */
const logPatienceMs = 1_000;

/** The part of a call that waiting needs. */
export interface Waiting {
  readonly deadline: number;
  readonly ending: Ending;
}

/** The part of a call that answers need. */
interface Answering extends Waiting {
  setPosition(token: string): void;
}

export interface Freshness {
  /**
   * Resolves when the read model is as fresh as asked for, at once if nothing was asked for. False: it was not so in
   * time, and ON_TIMEOUT_RETURN_STALE was asked for.
   */
  fresh(readModel: ReadModel, consistency: ReadConsistency | undefined, call: Waiting): Promise<boolean>;
  /**
   * Reads when the read model is as fresh as asked for. What it was served at is in `served`, and in the trailer of
   * the call.
   */
  answer<Found extends { readonly through: Position }>(
    readModel: ReadModel,
    consistency: ReadConsistency | undefined,
    call: Answering,
    read: () => Promise<Found>,
  ): Promise<Found & { readonly served: ReadInfo }>;
  /** Answers when all of these read models have seen the token, or without one, the end of the log now. */
  allFresh(
    readModels: readonly ReadModel[],
    consistency: ReadConsistency | undefined,
    call: Answering,
  ): Promise<ReadInfo>;
}

/** What a client asks for; undefined: nothing. */
interface Wish {
  readonly atLeast: Position | undefined;
  readonly latest: boolean;
  readonly effects: boolean;
}

/** Waits until all of these have handled everything up to the position. */
type Reach = (names: readonly string[], position: Position) => Promise<void>;

/** Time is over. With what a client is told that does not want a stale answer. */
class NotInTime extends Error {
  override readonly name = 'NotInTime';
  readonly failure: ApiError;

  constructor(failure: ApiError) {
    super(failure.message);
    this.failure = failure;
  }
}

const atLeast = (a: Position, b: Position): boolean => comparePositions(a, b) >= 0;

export function freshness(
  context: Pick<ApiContext, 'progress' | 'head' | 'tokens' | 'policies' | 'clock' | 'limits' | 'countEvents'>,
): Freshness {
  const { progress, tokens, policies, clock, limits, countEvents } = context;
  const logEnd = new LogEnd(context.head, clock);
  let waiters = 0;
  /** Policies had done all they do about the log up to `through` when it ended with `end`. */
  let effects: { readonly through: Position; readonly end: Position } | undefined;

  function wishOf(consistency: ReadConsistency | undefined): Wish | undefined {
    const token = consistency?.atLeast ?? '';
    const position = token === '' ? undefined : tokens.decode(token);
    if (token !== '' && !position) throw refusedToken(tokens.isForeign(token));
    const including = consistency?.includingEffects ?? false;
    const latest = (consistency?.latest ?? false) || (including && !position);
    return position || latest ? { atLeast: position, latest, effects: including } : undefined;
  }

  /** Calls `work` with what waits for as long as there is to wait. False: not done in time, and that will do. */
  async function bounded(
    consistency: ReadConsistency | undefined,
    call: Waiting,
    work: (reach: Reach, end: () => Promise<Position>) => Promise<void>,
  ): Promise<boolean> {
    if (waiters >= limits.maxWaiters) throw tooManyWaiters(limits.maxWaiters);
    const asked = consistency?.maxWait;
    const wish = asked ? Number(asked.seconds) * 1_000 + asked.nanos / 1_000_000 : defaultWaitMs;
    const left = Math.max(0, call.deadline - clock().getTime() - answerMs);
    const waitMs = Math.min(wish, left);

    const { ending } = call;
    const given = new AbortController();
    const end = (): void => given.abort(ending.over);
    const timer = setTimeout(() => given.abort(undefined), waitMs);
    ending.listen(end);
    waiters++;
    const reach = async (name: string, position: Position): Promise<void> => {
      ending.throwIfOver();
      if (atLeast(await progress.through(name), position)) return;
      await progress.reached(name, position, given.signal).catch(async (error: unknown) => {
        ending.throwIfOver();
        if (!given.signal.aborted) throw error;
        const current = await progress.through(name);
        if (!atLeast(current, position))
          throw new NotInTime(lagging(name, tokens.encode(position), tokens.encode(current), waitMs));
      });
    };
    try {
      await work(
        async (names, position) => void (await Promise.all(names.map((name) => reach(name, position)))),
        () =>
          ending.during((signal) => logEnd.exactly(Math.min(Math.max(waitMs, logPatienceMs), left), signal)),
      );
      return true;
    } catch (error) {
      const late = error instanceof NotInTime;
      if (!late && !(error instanceof EventStoreUnavailable)) throw error;
      if (consistency?.onTimeout === OnTimeout.RETURN_STALE) return false;
      throw late ? error.failure : error;
    } finally {
      waiters--;
      clearTimeout(timer);
      ending.forget(end);
    }
  }

  /** The position that is asked for, once it is known to be one of the log. */
  async function known(wish: Wish, end: () => Promise<Position>): Promise<Position> {
    if (wish.atLeast && !wish.latest && effects && atLeast(effects.through, wish.atLeast))
      return wish.atLeast;
    const head = await end();
    // Waiting for it could last for ever: a log that was restored from a backup may never get there.
    if (wish.atLeast && !atLeast(head, wish.atLeast)) throw unknownPosition(tokens.encode(head));
    return wish.latest || !wish.atLeast ? head : wish.atLeast;
  }

  /**
   * A position by which everything is in the log that policies do about the log up to `position`. What they do leads to
   * nothing more (test/domain/policy-effects.test.ts), so this is all. They have done it when their checkpoints
   * are there, and the end of the log found after that is behind it.
   */
  async function effectsOf(
    position: Position,
    reach: Reach,
    end: () => Promise<Position>,
  ): Promise<Position> {
    // The same token again, or an older one: what others have written since need not be waited for.
    if (effects && atLeast(effects.through, position)) return effects.end;
    await reach(policies, position);
    const found = { through: position, end: await end() };
    if (!effects || atLeast(found.through, effects.through)) effects = found;
    return found.end;
  }

  async function reachAll(
    names: readonly string[],
    wish: Wish,
    reach: Reach,
    end: () => Promise<Position>,
  ): Promise<Position> {
    const asked = await known(wish, end);
    const position = wish.effects ? await effectsOf(asked, reach, end) : asked;
    await reach(names, position);
    return position;
  }

  const lag = (through: Position, end: Position | undefined): bigint => {
    if (!end) return -1n;
    return atLeast(through, end) ? 0n : (countEvents?.(through, end) ?? -1n);
  };

  async function servedAt(
    through: Position,
    stale: boolean,
    end: Promise<Position | undefined>,
    call: Answering,
  ): Promise<ReadInfo> {
    const positionToken = tokens.encode(through);
    call.setPosition(positionToken);
    return { positionToken, stale, lagEvents: lag(through, await end) };
  }

  const self: Freshness = {
    async fresh(readModel, consistency, call) {
      const wish = wishOf(consistency);
      if (!wish) return true;
      const name = checkpointName(readModel);
      const { atLeast: token } = wish;
      // Nearly always, and then nobody needs to know where the log ends.
      if (token && !wish.latest && !wish.effects && atLeast(await progress.through(name), token)) return true;
      return bounded(
        consistency,
        call,
        async (reach, end) => void (await reachAll([name], wish, reach, end)),
      );
    },

    async answer(readModel, consistency, call, read) {
      const fresh = await self.fresh(readModel, consistency, call);
      const end = logEnd.recently();
      const found = await read();
      return { ...found, served: await servedAt(found.through, !fresh, end, call) };
    },

    async allFresh(readModels, consistency, call) {
      const wish = wishOf(consistency) ?? { atLeast: undefined, latest: true, effects: false };
      const names = readModels.map(checkpointName);
      let through: Position | undefined;
      const fresh = await bounded(consistency, call, async (reach, end) => {
        through = await reachAll(names, wish, reach, end);
      });
      const end = logEnd.recently();
      if (!through) {
        const all = await Promise.all(names.map((name) => progress.through(name)));
        through = all.reduce((a, b) => (atLeast(a, b) ? b : a));
      }
      return servedAt(through, !fresh, end, call);
    },
  };
  return self;
}

const refusedToken = (foreign: boolean): ApiError =>
  foreign
    ? invalidArgument(
        'POSITION_TOKEN_FOREIGN',
        'that token is of another event log, from before or after a copy: get a new one',
        'consistency.at_least',
      )
    : invalidArgument(
        'POSITION_TOKEN_INVALID',
        'this installation did not give out that token',
        'consistency.at_least',
      );

const unknownPosition = (head: string): ApiError =>
  new ApiError(status.OUT_OF_RANGE, 'POSITION_UNKNOWN', 'the log does not reach that token', {
    position: head,
  });

const lagging = (name: string, required: string, current: string, waitedMs: number): ApiError =>
  new ApiError(status.UNAVAILABLE, 'READ_MODEL_LAGGING', `${name} has not got there yet; ask again`, {
    metadata: { name, required, current, waited_ms: String(Math.round(waitedMs)) },
    details: [retryAfter(500)],
    position: current,
  });

const tooManyWaiters = (most: number): ApiError =>
  new ApiError(status.RESOURCE_EXHAUSTED, 'TOO_MANY_WAITERS', 'too many queries wait for read models', {
    details: [quotaFailure('waiters', `at most ${most} at once`), retryAfter(1_000)],
  });
