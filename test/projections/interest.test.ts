/** What instances tell each other, without a database. */
import { describe, expect, test } from 'vitest';
import type { Position } from '../../src/eventstore/port.ts';
import { Interest } from '../../src/projections/engine/interest.ts';

const at = (n: number): Position => ({ commit: BigInt(n), prepare: BigInt(n) });
const writes = { 'projection:balance': 3, 'projection:stock': 3 };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Instances that hear each other, and what they were told. */
class Room {
  readonly said: string[] = [];
  readonly #ears = new Set<(message: string) => void>();
  now = 0;
  isDown = false;

  /** `writes`: what is written there, and how far it is. */
  join(
    instance: string,
    writes: Readonly<Record<string, number>> = {},
  ): { interest: Interest; wanted: string[]; moved: string[] } {
    const [wanted, moved] = [[], []] as [string[], string[]];
    const positions = new Map(Object.entries(writes).map(([name, position]) => [name, at(position)]));
    const interest = new Interest({
      signals: {
        tell: async (message) => {
          if (this.isDown) throw new Error('is down');
          this.said.push(message);
          for (const hear of this.#ears) hear(message);
        },
        listen: (heard, signal) => {
          this.#ears.add(heard);
          signal.addEventListener('abort', () => this.#ears.delete(heard));
        },
      },
      instance,
      clock: () => this.now,
      position: (name) => positions.get(name),
      wanted: (name) => wanted.push(name),
      moved: (name) => moved.push(name),
    });
    return { interest, wanted, moved };
  }

  say(message: string): void {
    for (const hear of this.#ears) hear(message);
  }
}

describe('interest', () => {
  test('who writes learns who waits for what, and says when it is there, once', async () => {
    const room = new Room();
    const [writer, waiter] = [room.join('writer', writes), room.join('waiter')];
    waiter.interest.ask('projection:balance', at(7));
    await turn();
    expect(writer.wanted).toEqual(['projection:balance']);
    expect(waiter.wanted).toEqual([]);
    expect(writer.interest.isWanted('projection:balance', at(6), at(7))).toBe(true);
    expect(writer.interest.isWanted('projection:balance', at(7), at(9))).toBe(false);
    expect(writer.interest.isWanted('projection:balance', at(3), at(6))).toBe(false);
    expect(writer.interest.isWanted('projection:stock', at(6), at(7))).toBe(false);

    writer.interest.written('projection:balance', at(6));
    await turn();
    expect(waiter.moved).toEqual([]);
    writer.interest.written('projection:balance', at(8));
    writer.interest.written('projection:balance', at(9));
    await turn();
    expect(waiter.moved).toEqual(['projection:balance']);
    expect(writer.interest.isWanted('projection:balance', at(6), at(7))).toBe(false);
  });

  test('one who asks for what is there already is told so at once, and keeps nobody in a hurry', async () => {
    const room = new Room();
    const [writer, waiter] = [room.join('writer', writes), room.join('waiter')];
    waiter.interest.ask('projection:balance', at(3));
    await turn();
    expect(waiter.moved).toEqual(['projection:balance']);
    expect(writer.wanted).toEqual([]);
    expect(writer.interest.isFollowed('projection:balance')).toBe(false);
    expect(writer.interest.isWanted('projection:balance', at(0), at(9))).toBe(false);
  });

  test('who writes hurries from when it is asked until it is there, or has been asked for too long ago', async () => {
    const room = new Room();
    const [writer, waiter] = [room.join('writer', writes), room.join('waiter')];
    for (const name of Object.keys(writes)) waiter.interest.ask(name, at(7));
    await turn();
    writer.interest.written('projection:stock', at(6));
    const followed = (): boolean[] => Object.keys(writes).map((name) => writer.interest.isFollowed(name));
    expect(followed()).toEqual([true, true]);
    writer.interest.written('projection:stock', at(7));
    expect(followed()).toEqual([true, false]);
    room.now += 9_999;
    expect(followed()).toEqual([true, false]);
    room.now += 1;
    expect(followed()).toEqual([false, false]);
  });

  test('who writes nothing remembers nobody who asks: it could never tell that they are served', async () => {
    const room = new Room();
    const [other, waiter] = [room.join('other'), room.join('waiter')];
    waiter.interest.ask('projection:balance', at(7));
    await turn();
    expect(other.wanted).toEqual([]);
    expect(other.interest.isWanted('projection:balance', at(6), at(7))).toBe(false);
    expect(other.interest.isFollowed('projection:balance')).toBe(false);
  });

  test('what is asked just when the last message has gone is said too', async () => {
    for (let steps = 0; steps < 12; steps++) {
      const room = new Room();
      const waiter = room.join('waiter');
      waiter.interest.ask('projection:balance', at(7));
      for (let step = 0; step < steps; step++) await Promise.resolve();
      waiter.interest.ask('projection:balance', at(8));
      await turn();
      expect(room.said.join('\n'), `after ${steps} steps`).toContain('8/8');
    }
  });

  test('what is heard twice, late, or from oneself changes nothing', async () => {
    const room = new Room();
    const [writer, waiter] = [room.join('writer', writes), room.join('waiter')];
    waiter.interest.ask('projection:balance', at(7));
    await turn();
    const [asked = ''] = room.said;
    room.say(asked);
    writer.interest.written('projection:balance', at(7));
    await turn();
    expect(waiter.moved).toEqual(['projection:balance']);
    expect(waiter.wanted).toEqual([]);
    expect(writer.moved).toEqual([]);
    expect(writer.interest.isFollowed('projection:balance')).toBe(false);
    writer.interest.written('projection:balance', at(8));
    await turn();
    expect(waiter.moved).toHaveLength(1);
  });

  test('who is gone hears nothing and says nothing', async () => {
    const room = new Room();
    const [writer, waiter] = [room.join('writer', writes), room.join('waiter')];
    writer.interest.close();
    waiter.interest.ask('projection:balance', at(7));
    await turn();
    expect(writer.wanted).toEqual([]);
    const said = room.said.length;
    waiter.interest.close();
    waiter.interest.ask('projection:balance', at(8));
    waiter.interest.follow('projection:balance');
    await turn();
    expect(room.said).toHaveLength(said);
  });

  test('who follows is told of every advance, for as long as it says so', async () => {
    const room = new Room();
    const [writer, watcher] = [room.join('writer', writes), room.join('watcher')];
    for (room.now = 0; room.now < 10_000; room.now += 100) watcher.interest.follow('projection:balance');
    await turn();
    // Said about once a second, however often it is asked for; and here, where no turn came between, together.
    expect(room.said).toHaveLength(1);
    expect(writer.interest.isFollowed('projection:balance')).toBe(true);
    expect(writer.wanted).toEqual(['projection:balance']);
    for (let n = 1; n <= 3; n++) {
      writer.interest.written('projection:balance', at(n));
      await turn();
      expect(watcher.moved).toHaveLength(n);
    }
    writer.interest.written('projection:stock', at(4));
    room.now += 3_000;
    writer.interest.written('projection:balance', at(4));
    await turn();
    expect(watcher.moved).toHaveLength(3);
    expect(writer.interest.isFollowed('projection:balance')).toBe(false);
  });

  test('who follows says so about once a second, however often it looks', async () => {
    const room = new Room();
    const watcher = room.join('watcher');
    for (room.now = 0; room.now < 5_000; room.now += 100) {
      watcher.interest.follow('projection:balance');
      await turn();
    }
    expect(room.said).toHaveLength(5);
  });

  test('what is asked at once goes in one message, and so much of it that a message can hold it', async () => {
    const room = new Room();
    const waiter = room.join('waiter');
    for (let n = 0; n < 1_000; n++)
      waiter.interest.ask('projection:a-name-that-is-rather-long', at(1e15 + n));
    await turn();
    expect(room.said).toHaveLength(1);
    expect(Buffer.byteLength(room.said[0] ?? '')).toBeLessThan(8_000);
  });

  test('what was not told because the database was away is not told later, what comes after that is', async () => {
    const room = new Room();
    const [writer, waiter] = [room.join('writer', writes), room.join('waiter')];
    room.isDown = true;
    waiter.interest.ask('projection:balance', at(7));
    await turn();
    room.isDown = false;
    waiter.interest.ask('projection:balance', at(8));
    await turn();
    expect(writer.wanted).toHaveLength(1);
    expect(writer.interest.isWanted('projection:balance', at(6), at(7))).toBe(false);
  });

  test.each([
    '',
    'nonsense',
    'null',
    '[]',
    '{}',
    '{"from":"a","ask":{},"follow":[],"moved":[]}',
    '{"from":"a","ask":[[]],"follow":[],"moved":[]}',
    '{"from":"a","ask":[null,3,["x"],["x",7]],"follow":[3],"moved":[null]}',
    '{"from":"a","ask":[["projection:balance","not a position"]],"follow":[],"moved":[]}',
  ])('hears %s without harm', (message) => {
    const room = new Room();
    const { interest, wanted, moved } = room.join('writer', writes);
    room.say(message);
    expect([wanted, moved]).toEqual([[], []]);
    expect(interest.isWanted('projection:balance', at(0), at(99))).toBe(false);
  });

  test('one who asked and was never answered is forgotten', async () => {
    const room = new Room();
    const [writer, waiter] = [room.join('writer', writes), room.join('waiter')];
    waiter.interest.ask('projection:balance', at(7));
    await turn();
    room.now += 10_001;
    waiter.interest.ask('projection:balance', at(9));
    await turn();
    expect(writer.interest.isWanted('projection:balance', at(6), at(7))).toBe(false);
    expect(writer.interest.isWanted('projection:balance', at(8), at(9))).toBe(true);
  });
});
