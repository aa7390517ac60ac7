/** The checkpoint's compare-and-set, claims, freezes and swaps, statement by statement: two in every order, three in many. */
import { beforeEach, describe, expect, test, vi } from 'vitest';
import type { Position } from '../../src/eventstore/port.ts';
import type { Generation, Held, ParkedEvent } from '../../src/projections/engine/storage.ts';
import { claim, move } from '../../src/projections/postgres/checkpoints.ts';
import { freeze, swap } from '../../src/projections/postgres/rebuilds.ts';
import { write } from '../../src/projections/postgres/rows.ts';
import { type Actor, inEveryOrder, type Outcome } from '../support/interleavings.ts';
import { type House, openHouse } from './support/house.ts';
import { tally } from './support/tally.ts';

vi.setConfig({ testTimeout: 60_000 });

const at = (n: number): Position => ({ commit: BigInt(n), prepare: BigInt(n) });

let house: House;
let serving: Generation;
let building: Generation;
const held: Held = { name: 'projection:tally/1', position: at(5), epoch: 3n };
const builder: Held = { name: 'projection:tally/2', position: at(8), epoch: 3n };

beforeEach(async () => {
  house = await openHouse();
  const storage = house.storage();
  await storage.prepare([tally]);
  await house.askForRebuild([tally]);
  const [first, second] = await storage.generations();
  if (!first || !second) throw new Error('there are not two');
  [serving, building] = [first, second];
  for (const instance of ['old', 'new']) await storage.beat({ instance, able: [], ttl: 3_600_000 });
});

/** The serving one at 5, the one that is being built at 8; `owner` has both. */
const prepare = (owner: 'old' | 'nobody') => async (): Promise<void> => {
  await house.pool.query(`
    delete from tallyback.tally_1; delete from tallyback.parked_event;
    insert into tallyback.tally_1 values ('s', 0, 0, 5);
    update tallyback.checkpoint set position = case name when 'projection:tally/1' then '5/5' else '8/8' end,
      epoch = 3, owner = ${owner === 'old' ? "'old'" : 'null'}, frozen_until = null;
    update tallyback.generation set state = 'kept';
    update tallyback.generation set state = case number when 1 then 'serving' else 'building' end`);
};

const parkedEvent = (to: number): ParkedEvent => ({
  scope: 'row:["t"]',
  stream: 't',
  revision: 0,
  type: 'T',
  position: at(to),
  error: undefined,
  stack: undefined,
});

/** Writes from 5 on, by whom it holds 5 with that epoch. */
const writing =
  (to: number, { epoch = 3n, parks = false } = {}): Actor =>
  (pool) =>
    write(pool, {
      model: tally,
      generation: serving,
      held: { ...held, epoch },
      from: at(5),
      to: at(to),
      rows: [
        {
          key: ['s'],
          row: { stream: 's', events: BigInt(to), revision: 0n },
          position: at(to),
          isStored: true,
        },
      ],
      parked: parks ? [parkedEvent(to)] : [],
    });
const claiming =
  (name: string, instance = 'new'): Actor =>
  (pool) =>
    claim(pool, name, instance, house.store.id);

interface After {
  readonly position: string;
  readonly epoch: number;
  readonly events: string;
  readonly parked: number;
  readonly serving: number;
  readonly served: string;
  readonly serves: number;
}

async function after(): Promise<After> {
  const { rows } = await house.pool.query<After>(
    `select c.position, c.epoch::int, t.events::text, (select count(*)::int from tallyback.parked_event) as parked,
       (select count(*)::int from tallyback.generation where state = 'serving') as serving,
       (select number from tallyback.generation where state = 'serving') as serves,
       (select s.position from tallyback.checkpoint s, tallyback.generation g
        where g.state = 'serving' and s.name = 'projection:tally/' || g.number) as served
     from tallyback.checkpoint c, tallyback.tally_1 t where c.name = 'projection:tally/1'`,
  );
  if (!rows[0]) throw new Error('nothing is there');
  return rows[0];
}

const isHeld = (answer: unknown): answer is Held =>
  typeof answer === 'object' && answer !== null && 'epoch' in answer && 'position' in answer;
const commitOf = (text: string): number => Number(text.split('/')[0]);
const noError = ({ answers, order }: Outcome): void => {
  for (const answer of answers) expect(answer, order.join('')).not.toBeInstanceOf(Error);
};

describe('the compare-and-set of a checkpoint', () => {
  test.each([
    ['rows', false],
    ['rows and parked events', true],
  ])('of two writers and one who claims it one writes, or none (%s)', async (_, parks) => {
    const orders = await inEveryOrder(
      house.url,
      [writing(8, { parks }), writing(9, { parks }), claiming(held.name)],
      prepare('nobody'),
      async (outcome) => {
        noError(outcome);
        const [one, other, claimed] = outcome.answers;
        const end = await after();
        const written = one === true ? 8 : other === true ? 9 : 5;
        expect(one === true && other === true, outcome.order.join('')).toBe(false);
        expect(commitOf(end.position)).toBe(written);
        expect(end.events).toBe(String(written === 5 ? 0 : written));
        expect(end.parked).toBe(parks && written !== 5 ? 1 : 0);
        // Nobody had it, so who claims it gets it, as it is; and from then on nobody else writes.
        if (!isHeld(claimed)) throw new Error('not claimed');
        expect(claimed).toEqual({ ...held, position: at(written), epoch: 4n });
        expect(end.epoch).toBe(4);
      },
      60,
    );
    expect(orders).toBe(60);
  });

  test('a zombie writes nothing, whenever it wakes, nor does its checkpoint move', async () => {
    const zombieMoves: Actor = (pool) => move(pool, { ...held, epoch: 2n }, at(5), at(20));
    const orders = await inEveryOrder(
      house.url,
      [writing(8), writing(30, { epoch: 2n, parks: true }), zombieMoves],
      prepare('old'),
      async (outcome) => {
        noError(outcome);
        expect(outcome.answers).toEqual([true, false, false]);
        expect(await after()).toMatchObject({ position: '8/8', epoch: 3, events: '8', parked: 0 });
      },
    );
    expect(orders).toBeGreaterThan(20);
  });

  test('of three who claim it each gets another epoch, or one who may not have it gets none', async () => {
    const orders = await inEveryOrder(
      house.url,
      [claiming(held.name, 'old'), claiming(held.name, 'new'), claiming(held.name, 'dead')],
      prepare('nobody'),
      async (outcome) => {
        noError(outcome);
        expect(outcome.answers.filter(isHeld)).toEqual([{ ...held, epoch: 4n }]);
        expect(outcome.answers[2]).toBeUndefined();
      },
      40,
    );
    expect(orders).toBe(40);
  });
});

describe('a swap', () => {
  const swapping = (pool: Parameters<Actor>[0]): Promise<unknown> => swap(pool, builder, building);
  const freezing: Actor = (pool) => freeze(pool, builder, building);

  /** One serves, and nobody who was told that something is written is set back. */
  const check = async (outcome: Outcome, written: number | undefined): Promise<After> => {
    noError(outcome);
    const end = await after();
    expect(end.serving).toBe(1);
    const [swapped] = outcome.answers;
    expect(end.serves).toBe(swapped === 'swapped' ? 2 : 1);
    if (written !== undefined)
      expect(commitOf(end.served), outcome.order.join('')).toBeGreaterThanOrEqual(written);
    return end;
  };

  test.each([7, 9])('and a write up to %i: it comes before, or it is refused', async (to) => {
    const answers = new Set<string>();
    await inEveryOrder(
      house.url,
      [swapping, writing(to, { parks: true })],
      prepare('old'),
      async (outcome) => {
        const [swapped, written] = outcome.answers;
        const end = await check(outcome, written === true ? to : undefined);
        answers.add(`${String(swapped)} ${String(written)}`);
        expect(end.parked).toBe(written === true ? 1 : 0);
      },
    );
    expect([...answers].toSorted()).toEqual(
      to === 7 ? ['swapped false', 'swapped true'] : ['behind true', 'swapped false'],
    );
  });

  test('a freeze and a write: who is told where it stands is told all that was written', async () => {
    await inEveryOrder(
      house.url,
      [swapping, freezing, writing(9)],
      prepare('old'),
      async (outcome) => {
        const [, stands, written] = outcome.answers;
        await check(outcome, written === true ? 9 : undefined);
        // Swapped already, nobody serves beside it.
        if (stands !== undefined && written === true) expect(stands).toEqual(at(9));
      },
      60,
    );
  });

  test('a freeze and one who claims what serves: frozen, it is not had; had before, it is taken away', async () => {
    await inEveryOrder(house.url, [freezing, claiming(held.name)], prepare('nobody'), async (outcome) => {
      noError(outcome);
      const [stands, claimed] = outcome.answers;
      expect(stands).toEqual(at(5));
      const { epoch } = await after();
      if (isHeld(claimed)) expect(epoch).toBeGreaterThan(Number(claimed.epoch));
      else expect(claimed).toBeUndefined();
    });
  });

  test('and one who takes the building over: either it is done, or it is refused', async () => {
    const answers = new Set<string>();
    await inEveryOrder(
      house.url,
      [swapping, claiming(builder.name), writing(7)],
      prepare('nobody'),
      async (outcome) => {
        const [swapped, claimed, written] = outcome.answers;
        await check(outcome, written === true ? 7 : undefined);
        answers.add(String(swapped));
        if (!isHeld(claimed)) throw new Error('not claimed');
        expect(claimed).toEqual({ ...builder, epoch: 4n });
      },
      60,
    );
    expect([...answers].toSorted()).toEqual(['fenced', 'swapped']);
  });

  test('by a builder that was replaced and by the one that replaced it: one of them', async () => {
    const zombie: Actor = (pool) => swap(pool, { ...builder, epoch: 2n }, building);
    await inEveryOrder(house.url, [swapping, zombie], prepare('old'), async (outcome) => {
      await check(outcome, undefined);
      expect(outcome.answers).toEqual(['swapped', 'fenced']);
    });
  });
});
