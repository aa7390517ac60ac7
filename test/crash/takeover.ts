/** The process that writes the read models is killed, and stays away until another has taken over. */
import { setTimeout as pause } from 'node:timers/promises';
import { lastWriter, whatIsKept } from './catalogue.ts';
import type { House } from './house.ts';
import type { Server } from './server.ts';
import { farthestBehind } from './watch.ts';

/** While events come. Rejects if nobody writes. */
export async function leader({ postgres, servers }: House): Promise<Server> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const name = await lastWriter(postgres).catch(() => undefined);
    const server = servers.find((one) => one.name === name);
    if (server) return server;
    await pause(100);
  }
  throw new Error('nobody writes read models');
}

/**
 * How long it took, in milliseconds, until all read models had what was stored after the kill; undefined if that was
 * not so in time. Commands must keep coming.
 */
export async function killLeader(house: House, patienceMs: number): Promise<number | undefined> {
  const { journal, postgres } = house;
  const killed = await leader(house);
  journal.fault('leader killed', killed.name);
  await killed.kill();
  const killedAt = performance.now();
  const { head } = await whatIsKept(postgres);
  for (;;) {
    const kept = await whatIsKept(postgres);
    const took = performance.now() - killedAt;
    const over = farthestBehind(kept) > head;
    if (!over && took < patienceMs) {
      await pause(20);
      continue;
    }
    if (over) journal.note(`taken over after ${Math.round(took)} ms`);
    else journal.violation(`nobody took over from a killed leader within ${patienceMs / 1_000} s`);
    await killed.start();
    return over ? took : undefined;
  }
}
