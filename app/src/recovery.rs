//! What to do when the worker or its device dies.

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

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Start a new worker as the first time.
    Again,
    /// Start a new worker on the CPU.
    OnCpu,
    /// Stop and let the user decide.
    GiveUp,
}

/// CPU workers in a row that may die before the page stops starting new ones.
const CPU_DEATHS: u32 = 3;

/// What has gone wrong so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Recovery {
    gpu_deaths: u32,
    cpu_deaths: u32,
}

impl Recovery {
    /// The worker or its device died. A GPU gets one more chance, unless it did not even start.
    pub fn after_death(&mut self, during: During) -> Remedy {
        match during {
            During::GpuStart => Remedy::OnCpu,
            During::Gpu => {
                self.gpu_deaths += 1;
                if self.gpu_deaths > 1 { Remedy::OnCpu } else { Remedy::Again }
            }
            During::Cpu => {
                self.cpu_deaths += 1;
                if self.cpu_deaths < CPU_DEATHS { Remedy::OnCpu } else { Remedy::GiveUp }
            }
        }
    }

    /// The user took the matter in hand: a file was blamed and left out, or "start again" was pressed.
    pub fn forgive(&mut self) {
        self.cpu_deaths = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_gpu_is_tried_once_more_and_then_left() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.after_death(During::Gpu), Remedy::Again);
        assert_eq!(recovery.after_death(During::Gpu), Remedy::OnCpu);
        assert_eq!(Recovery::default().after_death(During::GpuStart), Remedy::OnCpu);
    }

    #[test]
    fn a_cpu_worker_that_keeps_dying_is_not_started_for_ever() {
        let mut recovery = Recovery::default();
        assert_eq!(recovery.after_death(During::Cpu), Remedy::OnCpu);
        assert_eq!(recovery.after_death(During::Cpu), Remedy::OnCpu);
        assert_eq!(recovery.after_death(During::Cpu), Remedy::GiveUp);
        recovery.forgive();
        assert_eq!(recovery.after_death(During::Cpu), Remedy::OnCpu);
    }
}
