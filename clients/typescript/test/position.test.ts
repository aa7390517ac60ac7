/** A session's reads are never asked for as of before what the session did, whatever comes in whatever order. */
import { status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SessionPosition } from '../src/position.ts';
import { ann, credit } from './support/requests.ts';
import { failure, receipt, scripted } from './support/scripted.ts';

/** What one command of many that run side by side may be. */
const command = fc.record({
  /** Turns between its being sent, carried out and answered. */
  sent: fc.nat(20),
  carriedOutAfter: fc.nat(10),
  answeredAfter: fc.nat(10),
  /** It changes nothing, or was carried out before: its token is of the past. */
  isOld: fc.boolean(),
  isRefused: fc.boolean(),
});

test('the latest token is behind no answer that has come', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 12 }), fc.nat(40), async (commands, asked) => {
      const session = new SessionPosition();
      // The log is as long as the turns that have passed: a token is a turn.
      const steps = commands.flatMap((one) => {
        const carriedOut = one.sent + one.carriedOutAfter;
        const answered = carriedOut + one.answeredAfter;
        const position = one.isOld ? Math.floor(one.sent / 2) : carriedOut;
        const run = { position, isNew: !one.isOld && !one.isRefused, marker: 0 };
        return [
          { turn: one.sent, do: () => void (run.marker = session.sent) },
          {
            turn: answered,
            do: () => session.note(`${run.position}`, run.marker, run.isNew),
            noted: position,
          },
        ];
      });
      const past = steps.toSorted((a, b) => a.turn - b.turn).filter(({ turn }) => turn <= asked);
      for (const step of past) step.do();
      const noted = past.flatMap((step) => ('noted' in step ? [step.noted ?? 0] : []));
      const latest = await session.latest(async () => `${asked}`);
      expect(Number(latest)).toBeGreaterThanOrEqual(Math.max(0, ...noted));
      expect(latest === '').toBe(noted.length === 0);
    }),
    { numRuns: 2_000 },
  );
});

describe('a session', () => {
  test('passes the token of its last command on to queries and watches', async () => {
    const server = await scripted({
      adjust: (_, number) => receipt(`token ${number}`),
      watch: (call) => call.snapshot('1'),
    });
    const { accounts } = server.client;
    await accounts.getBalance(ann);
    await accounts.adjustBalance(credit());
    await accounts.adjustBalance(credit());
    await accounts.getBalance(ann);
    const watch = accounts.watchBalances();
    await expect.poll(() => server.watches.length).toBe(1);
    watch.close();
    expect(server.queries.map(({ consistency }) => consistency?.atLeast)).toEqual([undefined, 'token 1']);
    expect(server.watches[0]?.request.consistency).toMatchObject({
      atLeast: 'token 1',
      includingEffects: false,
    });
    expect(server.heads).toBe(0);
  });

  test('keeps the token of an error', async () => {
    const server = await scripted({
      adjust: () => failure(status.FAILED_PRECONDITION, 'NO', { position: 'refused here' }),
    });
    await expect(server.client.accounts.adjustBalance(credit())).rejects.toMatchObject({ reason: 'NO' });
    await server.client.accounts.getBalance(ann);
    expect(server.queries[0]?.consistency?.atLeast).toBe('refused here');
  });

  test('does not go back behind a change for a command that changed nothing', async () => {
    const server = await scripted({
      adjust: (_, number) =>
        number === 0
          ? receipt('new')
          : receipt('old', number === 1 ? { unchanged: true } : { duplicate: true }),
      head: () => 'end of the log',
    });
    const { accounts } = server.client;
    await accounts.adjustBalance(credit());
    await accounts.adjustBalance(credit());
    await accounts.getBalance(ann);
    await accounts.getBalance(ann);
    await accounts.adjustBalance(credit());
    await accounts.getBalance(ann);
    expect(server.queries.map(({ consistency }) => consistency?.atLeast)).toEqual([
      'end of the log',
      'end of the log',
      'end of the log',
    ]);
    expect(server.heads).toBe(2);
  });

  test('asks for effects if it is told to, and leaves alone what a request says itself', async () => {
    const server = await scripted({ adjust: () => receipt('mine') });
    const effects = server.client.session({ includingEffects: true });
    await effects.accounts.adjustBalance(credit());
    await effects.accounts.getBalance(ann);
    await effects.accounts.getBalance(ann, { includingEffects: false });
    await effects.accounts.getBalance({ ...ann, consistency: { atLeast: 'theirs' } });
    await effects.accounts.getBalance({ ...ann, consistency: { maxWait: { seconds: 2n } } });
    await effects.accounts.getBalance(ann, { readYourWrites: false });
    const asked = server.queries.map(({ consistency }) => consistency);
    expect(asked[0]).toMatchObject({ atLeast: 'mine', includingEffects: true });
    expect(asked[1]).toMatchObject({ atLeast: 'mine', includingEffects: false });
    expect(asked[2]).toMatchObject({ atLeast: 'theirs', includingEffects: false });
    expect(asked[3]).toMatchObject({ atLeast: 'mine', includingEffects: true, maxWait: { seconds: 2n } });
    expect(asked[4]).toBeUndefined();
  });

  test('knows of another one what it is told', async () => {
    const server = await scripted({ adjust: () => receipt('first one’s') });
    const [one, other] = [server.client.session(), server.client.session()];
    await one.accounts.adjustBalance(credit());
    await other.accounts.getBalance(ann);
    other.adopt(await one.position());
    await other.accounts.getBalance(ann);
    expect(server.queries.map(({ consistency }) => consistency?.atLeast)).toEqual([undefined, 'first one’s']);
    expect(await server.client.position()).toBe('');
  });
});
