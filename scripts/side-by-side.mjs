// Jobs over a list, as many at once as there are processors.
import { availableParallelism } from 'node:os';

/** The results of `job` for all of them, in their order. */
export async function sideBySide(items, job) {
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const number = next++;
      results[number] = await job(items[number]);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return results;
}
