/** Who leads what: decided by every instance for itself, from the same facts, with the same result. */
import type { Cluster } from './storage.ts';

/**
 * Shares the names out over the instances that are able to lead them, as evenly as they can be. Who leads something
 * keeps it, unless it has more than its share. Names nobody is able to lead are left out.
 */
export function assign({ instances, leases }: Pick<Cluster, 'instances' | 'leases'>): Map<string, string> {
  const able = new Map<string, string[]>();
  for (const { id, able: names } of instances.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    for (const name of names) able.set(name, [...(able.get(name) ?? []), id]);
  }
  const owners = new Map(leases.map(({ name, owner }) => [name, owner]));
  const willing = new Set([...able.values()].flat());
  const share = Math.floor(able.size / Math.max(1, willing.size));
  // So many may have one more.
  let more = able.size % Math.max(1, willing.size);
  const load = new Map<string, number>();
  const loadOf = (id: string): number => load.get(id) ?? 0;
  const assigned = new Map<string, string>();
  const give = (name: string, id: string): void => {
    assigned.set(name, id);
    load.set(id, loadOf(id) + 1);
  };

  const names = [...able.keys()].toSorted();
  for (const name of names) {
    const owner = owners.get(name);
    if (owner === undefined || !able.get(name)?.includes(owner) || loadOf(owner) > share) continue;
    if (loadOf(owner) === share) {
      if (more === 0) continue;
      more--;
    }
    give(name, owner);
  }
  for (const name of names) {
    if (assigned.has(name)) continue;
    const [first, ...others] = able.get(name) ?? [];
    if (first === undefined) continue;
    // The one that has it wins among equals: nothing moves for nothing.
    const weight = (id: string): number => loadOf(id) + (owners.get(name) === id ? 0 : 0.5);
    give(
      name,
      others.reduce((best, id) => (weight(id) < weight(best) ? id : best), first),
    );
  }
  return assigned;
}
