/** The areas of XSAVE in a pool (SDM Vol. 1, 13.2; Vol. 2A, CPUID leaf 0Dh): components that all hosts lay out alike. */
import type { CpuidFeature, CpuidRegister } from '../x86/cpuid.ts';
import { componentFeatures, optionalComponents } from './dependencies.ts';
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

/** Size and offset of the components that a program may use, as every processor so far has them: for dumps that leave them out. */
export const usualLayouts: Readonly<Record<number, readonly [bytes: number, offset: number]>> = {
  2: [256, 576],
  3: [64, 960],
  4: [64, 1024],
  5: [64, 1088],
  6: [512, 1152],
  7: [1024, 1664],
  9: [8, 2688],
};

/** Takes components over that all hosts have and lay out alike. */
export function mergeComponents(model: Leaves, hosts: readonly Leaves[]): void {
  for (const component of components) {
    const everywhere = has(maskOf(model, 0) | maskOf(model, 1), component);
    const [first, ...others] = hosts.flatMap((host) => layoutOf(host, component) ?? []);
    if (!everywhere || first === undefined || others.some((other) => !isAlike(first, other))) {
      dropComponent(model, component);
    } else for (const register of registers) model.set(leaf, component, register, first[register]);
  }
}

type Layout = Readonly<Record<CpuidRegister, number>>;

const isAlike = (a: Layout, b: Layout): boolean => registers.every((register) => a[register] === b[register]);

function layoutOf(host: Leaves, component: number): Layout | undefined {
  const told = (register: CpuidRegister): number => host.get(leaf, component, register);
  if (host.has(leaf, component)) return { eax: told('eax'), ebx: told('ebx'), ecx: told('ecx'), edx: told('edx') };
  const [eax, ebx] = usualLayouts[component] ?? [];
  return eax === undefined || ebx === undefined ? undefined : { eax, ebx, ecx: 0, edx: 0 };
}

/** Drops components whose features are gone, and features whose components are. True if anything was dropped. */
export function settleComponents(model: Leaves): boolean {
  const isSet = (name: string): boolean => {
    const feature = featureNamed.get(name);
    return feature !== undefined && model.hasFeature(feature);
  };
  let changed = false;
  for (const component of components) {
    const needing = componentFeatures[component] ?? [];
    const names = [...needing, ...(optionalComponents[component] === undefined ? [] : [optionalComponents[component]])];
    const there = has(maskOf(model, 0) | maskOf(model, 1), component);
    if (there && names.length > 0 && !names.some(isSet)) {
      dropComponent(model, component);
      changed = true;
    } else if (!there && needing.some(isSet)) {
      for (const name of needing) model.clearFeature(featureNamed.get(name) as CpuidFeature);
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
