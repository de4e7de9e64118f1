/** Changes of a host as data: steps that can be shown, done, checked and undone. */
import { type AttributeStep, attributeSteps } from './attribute-steps.ts';
import { type DriverStep, driverSteps } from './driver-steps.ts';
import { type InterfaceStep, interfaceSteps } from './interface-steps.ts';
import { type LinkStep, linkSteps } from './link-steps.ts';
import { type NvmeStep, nvmeSteps } from './nvme-steps.ts';
import type { Kind } from './step.ts';
import type { Sysfs } from './sysfs.ts';

export type Step = DriverStep | AttributeStep | LinkStep | InterfaceStep | NvmeStep;

const kinds = { ...driverSteps, ...attributeSteps, ...linkSteps, ...interfaceSteps, ...nvmeSteps };

/** The table has a row for each kind, and each row takes its own. */
const kindOf = ({ kind }: Step): Kind<Step> => kinds[kind] as Kind<Step>;

export const files = (step: Step, sysfs: Sysfs): readonly string[] => kindOf(step).files(step, sysfs);
export const describe = (step: Step, sysfs: Sysfs): string => kindOf(step).describe(step, sysfs);
export const describeUndo = (step: Step, sysfs: Sysfs): string => kindOf(step).describeUndo(step, sysfs);
export const perform = async (step: Step, sysfs: Sysfs): Promise<void> => kindOf(step).perform(step, sysfs);
export const revert = async (step: Step, sysfs: Sysfs): Promise<void> => kindOf(step).revert(step, sysfs);
