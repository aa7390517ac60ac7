import { describe, expect, it } from 'vitest';
import { orAborted, Wakeup } from '../../src/eventstore/wakeup.ts';
import { rejection } from './samples.ts';

describe('a wake-up', () => {
  it('remembers rings that come before the wait, as one', async () => {
    const wakeup = new Wakeup();
    wakeup.ring();
    wakeup.ring();
    await wakeup.wait();
    let woken = false;
    const second = wakeup.wait().then(() => {
      woken = true;
    });
    await Promise.resolve();
    expect(woken).toBe(false);
    wakeup.ring();
    await second;
    expect(woken).toBe(true);
  });
});

describe('orAborted', () => {
  it('gives what comes first, and drops a failure that comes after the abort', async () => {
    const signal = new AbortController().signal;
    expect(await orAborted(Promise.resolve(1), signal)).toBe(1);
    expect(await rejection(orAborted(Promise.reject(new Error('no')), signal))).toMatchObject({
      message: 'no',
    });

    const abort = new AbortController();
    let fail: (error: Error) => void = () => undefined;
    const late = orAborted(
      new Promise((_, reject) => {
        fail = reject;
      }),
      abort.signal,
    );
    abort.abort();
    expect(await late).toBeUndefined();
    fail(new Error('too late'));
    expect(await orAborted(Promise.reject(new Error('ignored')), AbortSignal.abort())).toBeUndefined();
  });
});
