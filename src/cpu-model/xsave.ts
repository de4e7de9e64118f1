/** The areas of XSAVE in a pool (SDM Vol. 1, 13.2; Vol. 2A, CPUID leaf 0Dh): components that all hosts lay out alike. */
import { componentFeatures } from './dependencies.ts';
import { featureNamed, type Leaves, registers } from './leaves.ts';

const leaf = 0xd;
/** The legacy region and the header, which hold x87 and SSE state. */
const fixedBytes = 576;
const firstComponent = 2;
const components = Array.from({ length: 62 - firstComponent }, (_, i) => i + firstComponent);

const maskOf = (leaves: Leaves, subleaf: 0 | 1): bigint =>
  subleaf === 0
    ? BigInt(leaves.get(leaf, 0, 'eax')) | (BigInt(leaves.get(leaf, 0, 'edx')) << 32n)
    : BigInt(leaves.get(leaf, 1, 'ecx')) | (BigInt(leaves.get(leaf, 1, 'edx')) << 32n);

const has = (mask: bigint, component: number): boolean => ((mask >> BigInt(component)) & 1n) === 1n;

/** Takes components over that all hosts have and lay out alike. */
export function mergeComponents(model: Leaves, hosts: readonly Leaves[]): void {
  const [first] = hosts as [Leaves];
  for (const component of components) {
    const everywhere = has(maskOf(model, 0) | maskOf(model, 1), component);
    const alike = hosts.every(
      (host) =>
        host.has(leaf, component) &&
        registers.every((register) => host.get(leaf, component, register) === first.get(leaf, component, register)),
    );
    if (!everywhere || !alike) dropComponent(model, component);
    else for (const register of registers) model.set(leaf, component, register, first.get(leaf, component, register));
  }
}

/** Drops components whose features are gone, and features whose components are. True if anything was dropped. */
export function settleComponents(model: Leaves): boolean {
  let changed = false;
  for (const [number, names] of Object.entries(componentFeatures)) {
    const component = Number(number);
    const there = has(maskOf(model, 0) | maskOf(model, 1), component);
    const features = names.flatMap((name) => featureNamed.get(name) ?? []);
    const wanted = features.some((feature) => model.hasFeature(feature));
    if (there && !wanted) {
      dropComponent(model, component);
      changed = true;
    } else if (!there && wanted) {
      for (const feature of features) model.clearFeature(feature);
      changed = true;
    }
  }
  return changed;
}

function dropComponent(model: Leaves, component: number): void {
  model.drop(leaf, component);
  const word = component < 32 ? 0 : 1;
  const clear = ~(1 << (component % 32));
  for (const [subleaf, names] of [
    [0, ['eax', 'edx']],
    [1, ['ecx', 'edx']],
  ] as const) {
    const register = names[word] as 'eax' | 'ecx' | 'edx';
    if (model.has(leaf, subleaf)) model.set(leaf, subleaf, register, model.get(leaf, subleaf, register) & clear);
  }
}

/** Sizes for all that the model has: the standard form in subleaf 0, the compacted one in subleaf 1. */
export function sizeAreas(model: Leaves): void {
  if (!model.has(leaf, 0)) return;
  const standard = components
    .filter((component) => has(maskOf(model, 0), component))
    .map((component) => model.get(leaf, component, 'ebx') + model.get(leaf, component, 'eax'));
  const size = Math.max(fixedBytes, ...standard);
  model.set(leaf, 0, 'ebx', size);
  model.set(leaf, 0, 'ecx', size);
  if (!model.has(leaf, 1)) return;
  let compacted = fixedBytes;
  for (const component of components) {
    if (!has(maskOf(model, 0) | maskOf(model, 1), component)) continue;
    // ECX bit 1: the component begins at a multiple of 64 bytes.
    if ((model.get(leaf, component, 'ecx') & 2) !== 0) compacted = Math.ceil(compacted / 64) * 64;
    compacted += model.get(leaf, component, 'eax');
  }
  const compacts = (model.get(leaf, 1, 'eax') & 0b1010) !== 0;
  model.set(leaf, 1, 'ebx', compacts ? compacted : 0);
}
