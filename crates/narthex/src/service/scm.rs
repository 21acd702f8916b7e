//! Services of Windows: the service control manager (SCM).

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use windows_service::service::{
    ServiceAccess, ServiceAction, ServiceActionType, ServiceControl, ServiceControlAccept, ServiceErrorControl, ServiceExitCode,
    ServiceFailureActions, ServiceFailureResetPeriod, ServiceInfo, ServiceStartType, ServiceState, ServiceStatus, ServiceType,
};
use windows_service::service_control_handler::{self, ServiceControlHandlerResult, ServiceStatusHandle};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_service::{define_windows_service, service_dispatcher};

use super::notify::{self, State};
use super::program::{Program, as_typed};
use super::run::{runtime, served, told};
use super::{Invocation, Outcome, Scope, Service, ServiceError, Verb};
use crate::error::BoxError;
use crate::lifecycle;

/// Of `StartServiceCtrlDispatcher`: nobody but the SCM can start a service.
const NOT_STARTED_BY_THE_SCM: i32 = 1063;
const NO_SUCH_SERVICE: i32 = 1060;
const ALREADY_THERE: i32 = 1073;
const ALREADY_RUNNING: i32 = 1056;
const NOT_RUNNING: i32 = 1062;
const ACCESS_DENIED: i32 = 5;
/// How long the SCM waits for the first sign of an app that starts.
const START: Duration = Duration::from_secs(60);

type Main = Box<dyn FnOnce() + Send>;

/// What the SCM's thread is to run: its entry function can capture nothing.
static MAIN: Mutex<Option<Main>> = Mutex::new(None);

define_windows_service!(entry, service_main);

fn service_main(_arguments: Vec<OsString>) {
    let main = MAIN.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(main) = main {
        main();
    }
}

/// Runs the app until it ends: on a thread of the SCM's if that has started the process, else here.
pub(super) fn run<F, Fut, E>(service: &Service, invocation: Invocation, app: F) -> ExitCode
where
    F: FnOnce(Invocation) -> Fut + Send + 'static,
    Fut: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let app = std::sync::Arc::new(Mutex::new(Some((invocation, app))));
    let taken = std::sync::Arc::clone(&app);
    let of_scm = service.clone();
    let main = move || {
        let taken = taken.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((invocation, app)) = taken {
            as_service(&of_scm, invocation, app);
        }
    };
    *MAIN.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(main));
    match service_dispatcher::start(&service.name, entry) {
        Ok(()) => return ExitCode::SUCCESS,
        Err(error) if code(&error) == Some(NOT_STARTED_BY_THE_SCM) => {}
        Err(error) => return told(service, Err(error.into())),
    }
    let taken = app.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some((invocation, app)) = taken else { return ExitCode::FAILURE };
    told(service, runtime().and_then(|runtime| runtime.block_on(served(app(invocation)))))
}

fn as_service<F, Fut, E>(service: &Service, invocation: Invocation, app: F)
where
    F: FnOnce(Invocation) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Into<BoxError>,
{
    let asked = |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            lifecycle::ask_to_stop();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let handle = match service_control_handler::register(&service.name, asked) {
        Ok(handle) => handle,
        Err(error) => {
            told(service, Err(error.into()));
            return;
        }
    };
    tell(handle, ServiceState::StartPending, START, 0);
    lifecycle::listen(notify::told(move |state| match state {
        State::Ready => tell(handle, ServiceState::Running, Duration::ZERO, 0),
        // The SCM knows no such state.
        State::Reloading => {}
        State::Stopping(within) => tell(handle, ServiceState::StopPending, within, 0),
    }));
    let limit = service.stop_timeout;
    let ended = runtime().and_then(|runtime| {
        runtime.block_on(async {
            // An app may do more than serve, and does not know that it is to stop.
            let late = async {
                lifecycle::stop_asked().await;
                tokio::time::sleep(limit).await;
            };
            tokio::select! {
                ended = served(app(invocation)) => ended,
                () = late => Ok(()),
            }
        })
    });
    let failed = ended.is_err();
    told(service, ended);
    tell(handle, ServiceState::Stopped, Duration::ZERO, u32::from(failed));
}

fn tell(handle: ServiceStatusHandle, state: ServiceState, wait_hint: Duration, code: u32) {
    let accepts = if state == ServiceState::Running {
        ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN
    } else {
        ServiceControlAccept::empty()
    };
    let exit_code = if code == 0 { ServiceExitCode::Win32(0) } else { ServiceExitCode::ServiceSpecific(code) };
    let status = ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted: accepts,
        exit_code,
        checkpoint: 0,
        wait_hint,
        process_id: None,
    };
    if let Err(error) = handle.set_service_status(status) {
        tracing::warn!(%error, "the service control manager cannot be told {state:?}");
    }
}

pub(super) fn perform(service: &Service, verb: &Verb) -> Result<Outcome, ServiceError> {
    let name = &service.name;
    let done = |line: String| Ok(Outcome::new(vec![line]));
    if verb.scope() == Scope::User {
        let message = "Windows has no services of users: leave --user out".to_owned();
        return Err(ServiceError::Refused { command: verb.word().to_owned(), message });
    }
    if let Verb::Install { print: true, arguments, .. } = verb {
        let program = Program::this(service, arguments)?;
        return done(format!("{name}: {}, started with the machine as {}", program.texts()?.join(" "), account(service)));
    }
    let refused = |error: windows_service::Error| match code(&error) {
        Some(ACCESS_DENIED) => ServiceError::Refused {
            command: format!("{} {}", as_typed(service), verb.word()),
            message: "access is denied: run it in a console that was opened with \"Run as administrator\"".to_owned(),
        },
        Some(NO_SUCH_SERVICE) => {
            ServiceError::NotInstalled { name: name.clone(), command: format!("{} install", as_typed(service)) }
        }
        _ => ServiceError::Refused { command: verb.word().to_owned(), message: told_of(&error) },
    };
    let mut rights = ServiceManagerAccess::CONNECT;
    if matches!(verb, Verb::Install { .. }) {
        rights |= ServiceManagerAccess::CREATE_SERVICE;
    }
    let manager = ServiceManager::local_computer(None::<&str>, rights).map_err(refused)?;
    let open = |access| manager.open_service(name, access);
    match verb {
        Verb::Install { arguments, .. } => {
            let info = info(service, Program::this(service, arguments)?);
            let access = ServiceAccess::CHANGE_CONFIG | ServiceAccess::START;
            let installed = match manager.create_service(&info, access) {
                Err(error) if code(&error) == Some(ALREADY_THERE) => {
                    let installed = open(access).map_err(refused)?;
                    installed.change_config(&info).map_err(refused)?;
                    installed
                }
                created => created.map_err(refused)?,
            };
            installed.set_description(service.description.as_deref().unwrap_or(name)).map_err(refused)?;
            let mut said = vec![format!("{name} starts with the machine; to start it now: {} start", as_typed(service))];
            let brought_back = installed.update_failure_actions(brought_back());
            if let Err(error) = brought_back.and_then(|()| installed.set_failure_actions_on_non_crash_failures(true)) {
                // It serves all the same.
                said.push(format!("it does not come back by itself if it fails: {}", told_of(&error)));
            }
            Ok(Outcome::new(said))
        }
        Verb::Uninstall { .. } => match open(ServiceAccess::STOP | ServiceAccess::DELETE) {
            Err(error) if code(&error) == Some(NO_SUCH_SERVICE) => {
                done(format!("{name} is not installed: there is nothing to remove"))
            }
            opened => {
                let installed = opened.map_err(refused)?;
                // One that does not run cannot be stopped, and need not.
                let _ = installed.stop();
                installed.delete().map_err(refused)?;
                done(format!("{name} is stopped and removed"))
            }
        },
        Verb::Start(_) => match open(ServiceAccess::START).map_err(refused)?.start::<&str>(&[]) {
            Err(error) if code(&error) != Some(ALREADY_RUNNING) => Err(refused(error)),
            _ => done(format!("{name} is started")),
        },
        Verb::Stop(_) => match open(ServiceAccess::STOP).map_err(refused)?.stop() {
            Err(error) if code(&error) != Some(NOT_RUNNING) => Err(refused(error)),
            _ => done(format!("{name} is stopped")),
        },
        Verb::Status(_) => match open(ServiceAccess::QUERY_STATUS) {
            Err(error) if code(&error) == Some(NO_SUCH_SERVICE) => {
                Ok(Outcome::with_code(vec![format!("{name} is not installed")], 4))
            }
            opened => {
                let status = opened.map_err(refused)?.query_status().map_err(refused)?;
                let exit_code = if status.current_state == ServiceState::Running { 0 } else { 3 };
                Ok(Outcome::with_code(vec![format!("{name} is {:?}", status.current_state)], exit_code))
            }
        },
    }
}

fn info(service: &Service, program: Program) -> ServiceInfo {
    ServiceInfo {
        name: service.name.clone().into(),
        display_name: service.name.clone().into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program.path,
        launch_arguments: program.arguments,
        dependencies: Vec::new(),
        account_name: Some(account(service).into()),
        account_password: None,
    }
}

fn account(service: &Service) -> &str {
    service.account.as_deref().unwrap_or("NT AUTHORITY\\LocalService")
}

/// After a second, each time; a day without a failure forgets the earlier ones.
fn brought_back() -> ServiceFailureActions {
    let restart = ServiceAction { action_type: ServiceActionType::Restart, delay: Duration::from_secs(1) };
    ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(Duration::from_secs(86_400)),
        reboot_msg: None,
        command: None,
        actions: Some(vec![restart.clone(), restart.clone(), restart]),
    }
}

fn code(error: &windows_service::Error) -> Option<i32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

/// Not as `Debug` has it.
fn told_of(error: &windows_service::Error) -> String {
    match error {
        windows_service::Error::Winapi(error) => io::Error::to_string(error),
        error => error.to_string(),
    }
}
