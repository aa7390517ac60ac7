/** What comes twice, late or broken: it is answered and counted, and does no harm. */
import type { IngestRecord } from '../client/ingest-session.ts';
import { ReleaseOn } from '../../gen/tallyback/programme/v1/programme_command_service.ts';
import type { Act } from './acts.ts';
import { ruleSetOf } from './catalogue.ts';
import { tracked } from './ordering.ts';
import type { ShopState } from './shop-state.ts';

type ActAt = (at: Date) => Act | undefined;

export interface Mischief {
  readonly again: ActAt;
  readonly late: ActAt;
  readonly spoilt: ActAt;
  readonly unknownRelease: ActAt;
  readonly otherContent: ActAt;
}

const day = 86_400_000;

type Track = Extract<IngestRecord, { $case: 'trackOrder' }>['value'];

export function mischief(state: ShopState): Mischief {
  const { random } = state;

  const spoilings: readonly [(value: Track) => Track, ...((value: Track) => Track)[]] = [
    (value) => ({ ...value, lines: value.lines.map((line) => ({ ...line, unitPrice: '-3.50' })) }),
    (value) => ({ ...value, lines: value.lines.map((line) => ({ ...line, unitPrice: '1,99' })) }),
    (value) => ({ ...value, lines: value.lines.map((line) => ({ ...line, quantity: 0n })) }),
    (value) => ({ ...value, lines: [] }),
    (value) => ({ ...value, currency: 'pounds' }),
    (value) => ({ ...value, requestId: 'not-a-uuid' }),
    (value) => ({ ...value, occurredAt: undefined }),
    (value) => ({ ...value, lines: value.lines.flatMap((line) => [line, line]) }),
  ];
  const freshOrder = (at: Date): Track | undefined => {
    const model = random.maybe(state.placed.slice(-50));
    const act = model && tracked({ ...model, id: state.id('order'), version: 1n }, state.requestId(), at);
    return act?.via === 'ingest' && act.record.$case === 'trackOrder' ? act.record.value : undefined;
  };

  return {
    again() {
      const record = random.maybe(state.sent.slice(-400));
      return record && { via: 'ingest', record };
    },
    late(at) {
      if (random.unit() < 0.5) {
        // An older version than the one known: it changes nothing.
        const amended = random.maybe(state.placed.slice(-400).filter((placed) => placed.version > 1n));
        return amended && tracked(amended, state.requestId(), amended.at, amended.version - 1n);
      }
      // An order of days ago that nobody has heard of yet: it counts in the windows of its own time.
      const value = freshOrder(new Date(at.getTime() - random.between(1, 6) * day));
      return value && { via: 'ingest', record: { $case: 'trackOrder', value } };
    },
    spoilt(at) {
      const value = freshOrder(at);
      return (
        value && { via: 'ingest', record: { $case: 'trackOrder', value: random.pick(spoilings)(value) } }
      );
    },
    unknownRelease(at) {
      const merchant = random.pick(state.merchants);
      const value = ruleSetOf({ ...merchant, releaseOn: ReleaseOn.UNRECOGNIZED }, state.requestId(), at);
      return { via: 'unary', command: { $case: 'publishRuleSet', value } };
    },
    otherContent(at) {
      const used = random.maybe(state.sent.slice(-200));
      const value = freshOrder(at);
      if (!used || !value) return undefined;
      const { requestId } = used.value;
      return { via: 'ingest', record: { $case: 'trackOrder', value: { ...value, requestId } } };
    },
  };
}
