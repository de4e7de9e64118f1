/** Steps that put a secondary controller of an NVMe controller online: its virtual function is of no use before. */
import { adminOf, bringOnline, secondaryControllers, takeOffline } from '../nvme/secondary-controllers.ts';
import { StepError } from './errors.ts';
import type { Kind } from './step.ts';

export interface NvmeStep {
  readonly kind: 'nvme-online';
  /** The physical function. */
  readonly address: string;
  /** Its controller: /dev/nvme0. */
  readonly node: string;
  readonly controller: number;
  readonly queues: number;
  readonly vectors: number;
}

const command = ({ node, controller }: NvmeStep, ...rest: readonly string[]): string =>
  `nvme virt-mgmt ${node} --cntlid=${controller} ${rest.join(' ')}`;

export const nvmeSteps: { readonly 'nvme-online': Kind<NvmeStep> } = {
  'nvme-online': {
    files: ({ node }) => [node],
    describe: (step) =>
      [
        command(step, '--act=8', '--rt=0', `--nr=${step.queues}`),
        command(step, '--act=8', '--rt=1', `--nr=${step.vectors}`),
        command(step, '--act=9'),
      ].join(' && '),
    describeUndo: (step) => command(step, '--act=7'),
    perform: (step) => {
      const admin = adminOf(step.node);
      bringOnline(admin, step.controller, step);
      const found = secondaryControllers(admin).find(({ id }) => id === step.controller);
      if (found?.online && found.queues === step.queues && found.vectors === step.vectors) return;
      throw new StepError(`${step.node}: controller ${step.controller} is not online with ${step.queues} queues`);
    },
    revert: ({ node, controller }) => {
      const admin = adminOf(node);
      const found = secondaryControllers(admin).find(({ id }) => id === controller);
      if (found?.online) takeOffline(admin, controller);
    },
  },
};
