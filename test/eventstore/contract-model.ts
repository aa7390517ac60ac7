/** Random appends through two handles against a model that is nothing but maps and an array. */
import fc from 'fast-check';
import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { noStream, type NewEvent } from '../../src/eventstore/port.ts';
import type { Stores } from './contract.ts';
import { follow, newEvent, newStream, toArray } from './samples.ts';

interface Step {
  readonly stream: number;
  /** Which handle appends. */
  readonly b: boolean;
  /** Added to the right revision. */
  readonly off: number;
  readonly count: number;
  /** Repeats an earlier append (as it was), if there is one, dropping that many of its events. */
  readonly repeat: { readonly nth: number; readonly drop: number } | undefined;
}

interface Attempt {
  readonly stream: string;
  readonly expected: number;
  readonly events: readonly NewEvent[];
}

const steps = fc.array(
  fc.record<Step>({
    stream: fc.integer({ min: 0, max: 3 }),
    b: fc.boolean(),
    off: fc.oneof(
      { weight: 4, arbitrary: fc.constant(0) },
      { weight: 1, arbitrary: fc.integer({ min: -2, max: 2 }) },
    ),
    count: fc.integer({ min: 1, max: 4 }),
    repeat: fc.option(fc.record({ nth: fc.nat(), drop: fc.integer({ min: 0, max: 1 }) }), {
      nil: undefined,
      freq: 3,
    }),
  }),
  { minLength: 1, maxLength: 25 },
);

export function modelContract(stores: Stores): void {
  describe('against a model', () => {
    it('answers as the model does, and ends with the same streams and log', async () => {
      await fc.assert(
        fc.asyncProperty(steps, async (plan) => {
          const after = await stores.a.head();
          const names = Array.from({ length: 4 }, () => newStream(`model-${randomUUID()}`));
          const model = new Map<string, string[]>(names.map((name) => [name, []]));
          const log: string[] = [];
          const stored: Attempt[] = [];

          for (const step of plan) {
            const attempt = toAttempt(step, names, model, stored);
            const ids = model.get(attempt.stream) ?? [];
            const attempted = attempt.events.map((event) => event.id);
            const result = await (step.b ? stores.b : stores.a).append(
              attempt.stream,
              attempt.expected,
              attempt.events,
            );
            const fresh = attempt.expected === ids.length - 1;
            const storedBefore = attempted.every((id, n) => ids[attempt.expected + 1 + n] === id);
            const expected =
              fresh || storedBefore
                ? { kind: 'appended' }
                : { kind: 'conflict', actualRevision: ids.length - 1 };
            if (fresh) {
              ids.push(...attempted);
              log.push(...attempted);
              stored.push(attempt);
            }
            expect(result).toMatchObject(expected);
          }

          for (const [name, ids] of model) {
            expect((await toArray(stores.b.readStream(name))).map((event) => event.id)).toEqual(ids);
          }
          const seen = await follow(stores.a, after, (_, batch) => batch.caughtUp);
          expect(seen.map((event) => event.id)).toEqual(log);
        }),
        { numRuns: 40 },
      );
    });
  });
}

function toAttempt(
  step: Step,
  names: readonly string[],
  model: ReadonlyMap<string, readonly string[]>,
  stored: readonly Attempt[],
): Attempt {
  const earlier = step.repeat && stored[step.repeat.nth % Math.max(1, stored.length)];
  if (earlier && step.repeat) {
    const { drop } = step.repeat;
    return { ...earlier, events: earlier.events.slice(0, Math.max(1, earlier.events.length - drop)) };
  }
  const stream = names[step.stream] ?? '';
  const right = (model.get(stream)?.length ?? 0) - 1;
  return {
    stream,
    expected: Math.max(noStream, right + step.off),
    events: Array.from({ length: step.count }, () => newEvent()),
  };
}
