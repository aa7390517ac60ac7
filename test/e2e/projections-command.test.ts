/** The projections command, as real processes. */
import { describe, expect, test } from 'vitest';
import { ListParkedRequest } from '../../src/gen/tallyback/admin/v1/projection_admin_service.ts';
import { unary } from '../../src/main/client/unary.ts';
import {
  balanceOf,
  credit,
  creditAll,
  eventsRead,
  inFolders,
  onDatabase,
  projections,
  said,
  serve,
  signal,
  slowly,
} from './support/operated.ts';

inFolders();

describe('the command line', { timeout: 180_000 }, () => {
  test('rebuilds, compares, accepts, goes back; beside a server and without', async () => {
    const server = await serve();
    await creditAll(server, 20);
    expect(await said('rebuild', 'balance')).toMatch(
      /5 served, 5 built[\s\S]*different {2}0[\s\S]*balance\/2 serves/,
    );
    await onDatabase(
      `update tallyback.balance_2 set available_minor = available_minor + 7 where member = 'm1'`,
    );
    const dry = projections('rebuild', 'balance', '--dry-run');
    expect(await dry.exited, dry.output()).toBe(1);
    expect(dry.output()).toMatch(/different {2}1[\s\S]*\["m1", "GBP"\][\s\S]*dry run, and is dropped/);

    await server.end('SIGTERM');
    const differs = projections('rebuild', 'balance');
    expect(await differs.exited, differs.output()).toBe(1);
    expect(differs.output()).toMatch(/balance\/4 differs from what serves/);
    expect(await said('accept', 'balance')).toMatch(/balance\/4 serves/);
    expect(await said('list')).toMatch(/projection:balance\/4 +at 20\/20 +caught up, serving/);
    expect(await said('rollback', 'balance')).toMatch(/balance\/2 serves/);
    const again = await serve();
    expect(await balanceOf(again.connection, 'm1')).toBe(11n);
    const nothing = projections('cancel', 'balance');
    expect(await nothing.exited).toBe(1);
    expect(nothing.output()).toMatch(/no generation of balance is being built/);
  });

  test('left before the end, says who goes on, or how', async () => {
    const server = await serve(slowly);
    await creditAll(server, 600);
    const beside = projections('rebuild', 'balance');
    await expect.poll(() => eventsRead(server, 2), { timeout: 20_000 }).toBeGreaterThan(0n);
    expect(await beside.end('SIGINT'), beside.output()).toBe(0);
    expect(beside.output()).toMatch(/balance\/2 goes on in \S+\./);
    await server.end('SIGTERM');
    const alone = projections('resume', 'balance');
    await expect.poll(() => alone.output(), { timeout: 20_000 }).toContain('balance/2  loading');
    await new Promise((resolve) => {
      setTimeout(resolve, 1_000);
    });
    expect(await alone.end('SIGINT'), alone.output()).toBe(1);
    expect(alone.output()).toMatch(/Stopped: no server runs\. balance\/2 goes on from where it is/);
    expect(await said('pause', 'balance')).toMatch(/balance\/2 is paused/);
    expect(await said('list')).toMatch(
      /balance\/2 .*building \(loading, paused, no instance runs that could\)/,
    );
    expect(await said('cancel', 'balance')).toMatch(/balance\/2 is dropped/);
  });

  test('shows what is parked, and has it folded', async () => {
    const server = await serve();
    await creditAll(server, 10);
    // As if two events had not been folded; whoever leads starts again from what is stored.
    await onDatabase(`
      delete from tallyback.balance_1 where member = 'm1';
      insert into tallyback.parked_event (model, number, scope, commit, position, stream, revision, type, error, stack)
      select 'balance', 1, 'row:["m1","GBP"]', position, position || '/' || position, stream, revision, type,
        'a fold that was wrong', 'at balance.ts' from tallyback_log.events where stream like '%m1%';
      update tallyback.checkpoint set epoch = epoch + 1 where name = 'projection:balance/1';`);
    const { admin } = server;
    const { scopes } = await unary(admin, admin.listParked, ListParkedRequest.fromPartial({}), { signal });
    expect(scopes).toMatchObject([{ projection: 'balance', events: 2n, scope: 'row:["m1","GBP"]' }]);
    expect(await said('parked', 'list')).toMatch(/balance\/1 row:\["m1","GBP"\] {2}2 events since/);
    expect(await said('parked', 'show', 'balance')).toMatch(
      /event 1 of \S+\n {4}a fold that was wrong\n {4}at balance/,
    );
    expect(await said('list')).toMatch(/balance\/1 .*serving, 2 events parked/);
    expect(await said('parked', 'retry', 'balance')).toMatch(/2 events are folded/);
    const { receipt } = await credit(server.connection, 'm1');
    expect(await balanceOf(server.connection, 'm1', receipt?.positionToken)).toBe(3n);
    expect(await said('parked', 'list')).toMatch(/Nothing is parked/);
    const none = projections('parked', 'drop', 'balance', 'row:["m1","GBP"]');
    expect(await none.exited).toBe(1);
    expect(none.output()).toMatch(/nothing is parked in row/);
  });
});
