/** Read models folded anew in real processes, over gRPC. */
import { describe, expect, test } from 'vitest';
import { GenerationState } from '../../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import {
  balanceOf,
  credit,
  creditAll,
  eventsRead,
  inFolders,
  serve,
  slowly,
  startRebuild,
  watchBalances,
  watchRebuild,
} from './support/operated.ts';

inFolders();

describe('a rebuild', { timeout: 120_000 }, () => {
  test('goes on while commands, queries and a watch do, and none of them fails', async () => {
    const server = await serve(slowly);
    await creditAll(server, 200);
    const watching = watchBalances(server.connection);
    await expect.poll(() => watching.whole).toBe(true);

    const generation = await startRebuild(server);
    const rebuilt = new AbortController();
    const sent = new Map<string, bigint>();
    const load = (async () => {
      for (let n = 0; !rebuilt.signal.aborted; n = (n + 1) % 5) {
        const { receipt } = await credit(server.connection, `m${n}`);
        const balance = await balanceOf(server.connection, `m${n}`, receipt?.positionToken);
        expect(balance).toBeGreaterThan(sent.get(`m${n}`) ?? 0n);
        sent.set(`m${n}`, balance ?? 0n);
      }
    })();
    const seen = await watchRebuild(server, generation);
    rebuilt.abort();
    await load;
    expect(seen.length).toBeGreaterThan(2);
    expect(seen.at(-1)).toMatchObject({
      state: GenerationState.SERVING,
      projection: 'balance',
      report: { differences: 0n },
    });
    expect(seen.some(({ lagEvents }) => lagEvents > 0n)).toBe(true);
    // Written before and after, read after: all of it is there.
    const { receipt } = await credit(server.connection, 'm0');
    sent.set('m0', (sent.get('m0') ?? 0n) + 1n);
    expect(await balanceOf(server.connection, 'm0', receipt?.positionToken)).toBe(sent.get('m0'));
    await expect.poll(() => watching.resets, { timeout: 15_000 }).toBe(1);
    await expect
      .poll(() => watching.whole && Object.fromEntries(watching.state), { timeout: 15_000 })
      .toEqual(Object.fromEntries(sent));
  });

  test('that a killed server was in the middle of is finished by the next one', async () => {
    const first = await serve(slowly);
    await creditAll(first, 400);
    const generation = await startRebuild(first);
    await expect.poll(() => eventsRead(first, generation), { timeout: 20_000 }).toBeGreaterThan(0n);
    await first.end('SIGKILL');
    expect(first.output()).not.toContain('indexing');
    const second = await serve();
    const seen = await watchRebuild(second, generation);
    expect(seen.at(-1)).toMatchObject({ state: GenerationState.SERVING, report: { differences: 0n } });
    expect(await balanceOf(second.connection, 'm0')).toBe(80n);
  });
});
