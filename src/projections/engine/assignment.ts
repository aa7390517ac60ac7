/** Who leads what: decided by every instance for itself, from the same facts, with the same result. */
import type { Cluster } from './storage.ts';

/**
 * Shares the names out over the instances that are able to lead them, so evenly that no move of one name could make it
 * more even. Who leads something keeps it, as far as that allows. Names nobody is able to lead are left out.
 */
export function assign({ instances, leases }: Pick<Cluster, 'instances' | 'leases'>): Map<string, string> {
  const able = new Map<string, string[]>();
  const load = new Map<string, number>();
  for (const { id, able: names } of instances.toSorted((a, b) => (a.id < b.id ? -1 : 1))) {
    load.set(id, 0);
    for (const name of names) able.set(name, [...(able.get(name) ?? []), id]);
  }
  const loadOf = (id: string): number => load.get(id) ?? 0;
  const names = [...able.keys()].toSorted();
  const owners = new Map(leases.map(({ name, owner }) => [name, owner]));
  const assigned = new Map<string, string>();
  const give = (name: string, id: string): void => {
    const before = assigned.get(name);
    if (before !== undefined) load.set(before, loadOf(before) - 1);
    assigned.set(name, id);
    load.set(id, loadOf(id) + 1);
  };
  const idlest = (name: string): string | undefined => {
    const [first, ...others] = able.get(name) ?? [];
    return others.reduce((best, id) => (best !== undefined && loadOf(id) < loadOf(best) ? id : best), first);
  };

  for (const name of names) {
    const owner = owners.get(name);
    if (owner !== undefined && able.get(name)?.includes(owner)) give(name, owner);
  }
  for (const name of names) {
    const id = assigned.has(name) ? undefined : idlest(name);
    if (id !== undefined) give(name, id);
  }
  // From the one with most to the one with least, as long as that evens anything out.
  for (;;) {
    let best: { readonly name: string; readonly to: string; readonly gain: number } | undefined;
    for (const name of names) {
      const [from, to] = [assigned.get(name), idlest(name)];
      if (from === undefined || to === undefined) continue;
      const gain = loadOf(from) - loadOf(to);
      if (gain > (best?.gain ?? 1)) best = { name, to, gain };
    }
    if (!best) return assigned;
    give(best.name, best.to);
  }
}
