/** Arbitrary reports of one order: every version says something else, of lines as well as of the status. */
import fc from 'fast-check';
import type { OrderCommand, ReportedLine } from '../../src/domain/order/index.ts';
import { day, line, reportStatus, track } from './samples.ts';

const reported: fc.Arbitrary<ReportedLine> = fc
  .record({
    lineNo: fc.integer({ min: 1, max: 4 }),
    sku: fc.constantFrom('mug', 'mug', 'vase'),
    category: fc.constantFrom('product', 'product', 'other', 'luxury'),
    quantity: fc.bigInt({ min: 1n, max: 9n }),
    unitPrice: fc.constantFrom('0', '0.37', '2.55'),
    ordered: fc.constantFrom(0, 0, 3),
  })
  .map(({ ordered, ...over }) => line({ ...over, orderedAt: day(ordered) }));

const lines = fc.uniqueArray(reported, { selector: ({ lineNo }) => lineNo, maxLength: 4 });
const statuses = fc.array(fc.constantFrom('confirm', 'decline', 'restore', 'settle'), { maxLength: 3 });

/** One report per version, in the order of the versions: versions of lines and of the status are unrelated. */
export const reports: fc.Arbitrary<OrderCommand[]> = fc
  .tuple(fc.array(lines, { minLength: 1, maxLength: 4 }), statuses)
  .map(([versions, kinds]) => [
    ...versions.map((of, n) => track({ sourceVersion: BigInt(n + 1), lines: of, at: day(5 + n) })),
    ...kinds.map((kind, n) => reportStatus(kind, BigInt(n + 1), day(5 + n))),
  ]);

/** The reports in two orders of arrival, each with repeats. */
export const arrivals = reports.chain((all) => {
  const arrival = fc
    .tuple(
      fc.shuffledSubarray(all, { minLength: all.length }),
      fc.array(fc.tuple(fc.nat(all.length), fc.nat(all.length - 1)), { maxLength: 4 }),
    )
    .map(([shuffled, repeats]) =>
      repeats.reduce((sequence, [at, which]) => {
        const repeated = all[which];
        return repeated === undefined ? sequence : sequence.toSpliced(at, 0, repeated);
      }, shuffled),
    );
  return fc.tuple(arrival, arrival);
});
