/** Every instance decides for itself who leads what: it must come to the same result, and a fair and quiet one. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { assign } from '../../src/projections/engine/assignment.ts';

const ids = ['a', 'b', 'c', 'd', 'e'];
const names = ['n0', 'n1', 'n2', 'n3', 'n4', 'n5', 'n6', 'n7', 'n8', 'n9', 'n10'];

const instances = fc
  .uniqueArray(fc.constantFrom(...ids))
  .chain((some) =>
    fc.tuple(...some.map((id) => fc.record({ id: fc.constant(id), able: fc.subarray(names) }))),
  );

/** Some names are led by instances that live or, one beat ago, lived. */
const leases = fc
  .subarray(names)
  .chain((led) =>
    fc.tuple(...led.map((name) => fc.record({ name: fc.constant(name), owner: fc.constantFrom(...ids) }))),
  );

const cluster = fc.record({ instances, leases });

const shuffled = <T>(all: readonly T[]): fc.Arbitrary<T[]> =>
  fc.shuffledSubarray([...all], { minLength: all.length, maxLength: all.length });

const asLeases = (assigned: ReadonlyMap<string, string>) =>
  Array.from(assigned, ([name, owner]) => ({ name, owner }));

const sorted = (assigned: ReadonlyMap<string, string>): string[] =>
  Array.from(assigned, ([name, id]) => `${name} ${id}`).toSorted();

const loads = (assigned: ReadonlyMap<string, string>, all: readonly string[]): Map<string, number> => {
  const load = new Map(all.map((id) => [id, 0]));
  for (const id of assigned.values()) load.set(id, (load.get(id) ?? 0) + 1);
  return load;
};

const check = <T>(arbitrary: fc.Arbitrary<T>, predicate: (value: T) => void): void =>
  fc.assert(fc.property(arbitrary, predicate), { numRuns: 2_000 });

test('everything is led by one that is able to, if there is one, and nothing else is', () => {
  check(cluster, (seen) => {
    const assigned = assign(seen);
    const able = (name: string): string[] =>
      seen.instances.filter((one) => one.able.includes(name)).map(({ id }) => id);
    expect([...assigned.keys()].toSorted()).toEqual(names.filter((name) => able(name).length > 0).toSorted());
    for (const [name, id] of assigned) expect(able(name)).toContain(id);
  });
});

test('all instances come to the same result, in whatever order they are told', () => {
  const told = cluster.chain((seen) =>
    fc.record({
      seen: fc.constant(seen),
      again: fc.record({ instances: shuffled(seen.instances), leases: shuffled(seen.leases) }),
    }),
  );
  check(told, ({ seen, again }) => {
    expect(sorted(assign(again))).toEqual(sorted(assign(seen)));
  });
});

test('it is as even as ability allows: no name given to another would make it more even', () => {
  check(cluster, (seen) => {
    const assigned = assign(seen);
    const load = loads(assigned, ids);
    for (const { id, able } of seen.instances) {
      for (const name of able) {
        const most = load.get(assigned.get(name) ?? '') ?? 0;
        expect(most - (load.get(id) ?? 0)).toBeLessThanOrEqual(1);
      }
    }
  });
});

test('once it has been carried out nothing moves any more', () => {
  check(cluster, (seen) => {
    const assigned = assign(seen);
    const next = assign({ instances: seen.instances, leases: asLeases(assigned) });
    expect(sorted(next)).toEqual(sorted(assigned));
  });
});

test('no more moves than evenness needs, where all are able to do all', () => {
  const alike = fc.record({ some: fc.uniqueArray(fc.constantFrom(...ids), { minLength: 1 }), leases });
  check(alike, ({ some, leases: led }) => {
    const assigned = assign({ instances: some.map((id) => ({ id, able: names })), leases: led });
    const kept = led.filter(({ owner }) => some.includes(owner));
    const moved = kept.filter(({ name, owner }) => assigned.get(name) !== owner).length;
    // Who has most keeps one more than the others, if that does not come out even.
    const least = Math.floor(names.length / some.length);
    const over = names.length % some.length;
    const before = [...loads(new Map(kept.map(({ name, owner }) => [name, owner])), some).values()];
    const needed = before
      .toSorted((a, b) => b - a)
      .reduce((sum, load, i) => sum + Math.max(0, load - least - (i < over ? 1 : 0)), 0);
    expect(moved).toBe(needed);
  });
});

test('a fourth instance gets its share of nine, although three each is even among three', () => {
  const all = names.slice(0, 9);
  const three = assign({ instances: ['a', 'b', 'c'].map((id) => ({ id, able: all })), leases: [] });
  const four = assign({
    instances: ['a', 'b', 'c', 'd'].map((id) => ({ id, able: all })),
    leases: asLeases(three),
  });
  expect([...loads(four, []).values()].toSorted((a, b) => a - b)).toEqual([2, 2, 2, 3]);
});
