//! What must hold: conditions over observations (`judge`), and checkers over the recorded history ([`history`]).

pub mod history;
pub(crate) mod judge;
