//! What to do when the worker or its device dies.

use crate::asked::Asked;

/// What the worker was doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// Choosing its device, the GPU allowed.
    GpuStart,
    /// Running on the GPU.
    Gpu,
    /// Starting or running on the CPU.
    Cpu,
}

/// What died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// The GPU, before it was in use.
    GpuStart,
    /// The GPU in use.
    Gpu,
    /// The worker alone, whatever its device.
    Worker,
}

impl Death {
    /// What it means that the device was lost. `None` when it is not in use, and may be lost without harm.
    pub fn of_device(during: During) -> Option<Self> {
        match during {
            During::GpuStart => Some(Self::GpuStart),
            During::Gpu => Some(Self::Gpu),
            During::Cpu => None,
        }
    }

    /// What it means that the worker crashed while it was doing this. A network on the GPU and the choice of the device
    /// are the GPU's own work.
    pub fn of_worker(during: During, doing: Option<Asked>, starting: bool) -> Self {
        match (during, doing) {
            (During::GpuStart, Some(Asked::Job)) if starting => Self::GpuStart,
            (During::Gpu, Some(Asked::Prediction { .. })) => Self::Gpu,
            _ => Self::Worker,
        }
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Start a new worker on the same device.
    Again,
    /// Start a new worker on the CPU.
    OnCpu,
    /// Stop and let the user decide.
    GiveUp,
}

/// Workers in a row that may die before the page stops starting new ones.
const WORKER_DEATHS: u32 = 3;

/// Predictions by one worker that make up for what went wrong before.
const ENOUGH: usize = 20;

/// What has gone wrong so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery {
    gpu_deaths: u32,
    worker_deaths: u32,
}

impl Recovery {
    /// The worker or its device died. A GPU gets one more chance, unless it did not even start.
    pub fn after(&mut self, death: Death) -> Remedy {
        match death {
            Death::GpuStart => Remedy::OnCpu,
            Death::Gpu => {
                self.gpu_deaths += 1;
                if self.gpu_deaths > 1 { Remedy::OnCpu } else { Remedy::Again }
            }
            Death::Worker => {
                self.worker_deaths += 1;
                if self.worker_deaths < WORKER_DEATHS { Remedy::Again } else { Remedy::GiveUp }
            }
        }
    }

    /// The cause is out of the way: a file was left out.
    pub fn forgive(&mut self) {
        self.worker_deaths = 0;
    }

    /// The worker gave so many predictions: when they are enough, all is well again.
    pub fn after_predictions(&mut self, predicted: usize) {
        if predicted >= ENOUGH {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREDICTION: Option<Asked> = Some(Asked::Prediction { file: 0, frame: 0 });

    #[test]
    fn a_lost_gpu_is_tried_once_more_and_then_left() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.after(Death::Gpu), Remedy::Again);
        recovery.after_predictions(ENOUGH - 1);
        assert_eq!(recovery.after(Death::Gpu), Remedy::OnCpu);
        recovery.after_predictions(ENOUGH);
        assert_eq!(recovery.after(Death::Gpu), Remedy::Again, "what went well in between counts");
        assert_eq!(Recovery::default().after(Death::GpuStart), Remedy::OnCpu);
    }

    #[test]
    fn a_worker_that_keeps_dying_is_not_started_for_ever() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.after(Death::Worker), Remedy::Again);
        assert_eq!(recovery.after(Death::Worker), Remedy::Again);
        assert_eq!(recovery.after(Death::Worker), Remedy::GiveUp);
        recovery.forgive();
        assert_eq!(recovery.after(Death::Worker), Remedy::Again);
    }

    #[test]
    fn a_file_that_stops_the_worker_is_not_the_fault_of_the_gpu() {
        for during in [During::GpuStart, During::Gpu, During::Cpu] {
            assert_eq!(Death::of_worker(during, Some(Asked::Job), false), Death::Worker);
            assert_eq!(Death::of_worker(during, None, false), Death::Worker);
        }
        assert_eq!(Death::of_worker(During::GpuStart, Some(Asked::Job), true), Death::GpuStart);
        assert_eq!(Death::of_worker(During::Cpu, Some(Asked::Job), true), Death::Worker);
        assert_eq!(Death::of_worker(During::Gpu, PREDICTION, false), Death::Gpu);
        assert_eq!(Death::of_worker(During::Cpu, PREDICTION, false), Death::Worker);
        assert_eq!(Death::of_device(During::Cpu), None);
    }
}
