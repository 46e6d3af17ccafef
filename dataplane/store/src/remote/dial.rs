//! From an address to a connection on which questions may be asked: name, TCP, TLS, password, and whether
//! the server is fit. Each step that fails has its own reason.
//!
//! A connection is not mended: whoever has one that broke dials again, and all that is checked here is
//! checked again (rule S4).

use core::time::Duration;
use std::io;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline, RedisConnectionInfo, RedisError, ServerError, Value, cmd};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::config::{Address, Config, Target};
use crate::error::Reason;
use crate::remote::functions;
use crate::remote::server::Server;
use crate::remote::tls::Trust;

/// Dials for one configuration.
#[derive(Debug)]
pub(crate) struct Dialer {
    pub(crate) config: Config,
    trust: Option<Trust>,
}

/// A connection. It ends with this handle.
#[derive(Debug)]
pub(crate) struct Connection {
    inner: MultiplexedConnection,
    driver: AbortHandle,
    pub(crate) address: Box<str>,
    is_tls: bool,
}

/// What a server answers; an error of its own is an answer, too.
pub(crate) type Answer = Result<Value, ServerError>;

/// What a connection runs over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Dialer {
    /// One for this configuration.
    ///
    /// # Errors
    /// There is to be TLS, and no authority to believe in.
    pub(crate) fn new(config: Config) -> Result<Self, Reason> {
        let tls = match &config.target {
            Target::Server(endpoint) => endpoint.tls,
            Target::Sentinel { tls, .. } => *tls,
        };
        let trust = tls.then(|| Trust::new(config.authorities.as_deref()));
        let trust = trust.transpose()?;
        Ok(Self { config, trust })
    }

    /// A connection to a server that was found fit, with the library loaded.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn open(&self, address: &Address) -> Result<(Connection, Server), Reason> {
        within(self.config.timing.connect, address, async {
            let (mut connection, server) = self.greet(address).await?;
            let server = server.checked()?;
            self.load_library(&mut connection).await?;
            Ok((connection, server))
        })
        .await
    }

    /// Another connection to the same server.
    ///
    /// # Errors
    /// Why not; one of the reasons is that it is not the same.
    pub(crate) async fn open_more(&self, server: &Server) -> Result<Connection, Reason> {
        within(self.config.timing.connect, &server.address, async {
            let (connection, other) = self.greet(&server.address).await?;
            if other.origin != server.origin {
                return Err(Reason::Changed {
                    address: connection.address.clone(),
                    why: "another connection to the same address led to another server",
                });
            }
            Ok(connection)
        })
        .await
    }

    /// A connection on which nothing was said yet.
    ///
    /// # Errors
    /// Why not.
    pub(crate) async fn dial(&self, address: &Address) -> Result<Connection, Reason> {
        let stream = self.stream(address).await?;
        let info = RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let address: Box<str> = address.to_string().into();
        let made = MultiplexedConnection::new_with_config(&info, stream, config).await;
        let (inner, driver) = made.map_err(|error| Reason::Lost {
            address: address.clone(),
            why: error.to_string().into(),
        })?;
        Ok(Connection {
            inner,
            driver: tokio::spawn(driver).abort_handle(),
            address,
            is_tls: self.trust.is_some(),
        })
    }

    async fn stream(&self, address: &Address) -> Result<Box<dyn Stream>, Reason> {
        let (host, port) = match address {
            Address::Tcp { host, port } => (host, *port),
            Address::Unix(path) => {
                let stream = UnixStream::connect(path).await;
                return Ok(Box::new(
                    stream.map_err(|error| unreachable(address, &error))?,
                ));
            }
        };
        let stream = connect(host, port, address).await?;
        match &self.trust {
            Some(trust) => {
                // One that speaks no TLS waits for a line to end: it is told while there is time.
                let limit = self.config.timing.connect.mul_f32(0.5);
                Ok(Box::new(trust.connect(host, address, stream, limit).await?))
            }
            None => Ok(Box::new(stream)),
        }
    }

    /// Says who we are, and hears who that is.
    async fn greet(&self, address: &Address) -> Result<(Connection, Server), Reason> {
        let mut connection = self.dial(address).await?;
        self.authenticate(&mut connection).await?;
        let database = match &self.config.target {
            Target::Server(endpoint) => endpoint.database,
            Target::Sentinel { database, .. } => *database,
        };
        if database != 0 {
            let mut select = cmd("SELECT");
            self.demand(&mut connection, select.arg(database)).await?;
        }
        let info = self.demand(&mut connection, &cmd("INFO")).await?;
        let info: String = redis::from_redis_value(info).unwrap_or_default();
        let server = Server::parse(address, &info, self.config.durability)?;
        Ok((connection, server))
    }

    /// Says who we are.
    ///
    /// # Errors
    /// That is not believed.
    pub(crate) async fn authenticate(&self, connection: &mut Connection) -> Result<(), Reason> {
        let Some(credentials) = &self.config.credentials else {
            return Ok(());
        };
        let mut auth = cmd("AUTH");
        if let Some(user) = &credentials.user {
            auth.arg(&**user);
        }
        auth.arg(credentials.password.expose());
        self.demand(connection, &auth).await?;
        Ok(())
    }

    async fn load_library(&self, connection: &mut Connection) -> Result<(), Reason> {
        let loaded = match connection.ask(&functions::version(), None).await? {
            Ok(version) => redis::from_redis_value(version).unwrap_or(0),
            // There is none.
            Err(error) if error.code() == "ERR" => 0,
            Err(error) => return Err(self.denied(connection, &error)),
        };
        // That of a newer release does all that ours does.
        if loaded >= functions::VERSION {
            return Ok(());
        }
        match connection.ask(&functions::load(), None).await? {
            Ok(_) => Ok(()),
            Err(error) if error.code() == "NOPERM" => Err(self.denied(connection, &error)),
            Err(error) => Err(Reason::Library {
                address: connection.address.clone(),
                why: text(&error),
            }),
        }
    }

    /// The answer to a question without which there is no going on.
    async fn demand(&self, connection: &mut Connection, command: &Cmd) -> Result<Value, Reason> {
        let answer = connection.ask(command, None).await?;
        answer.map_err(|error| self.denied(connection, &error))
    }

    /// Why a server denies what belongs to setting up.
    pub(crate) fn denied(&self, connection: &Connection, error: &ServerError) -> Reason {
        let address = connection.address.clone();
        let credentials = self.config.credentials.as_ref();
        let user = credentials.and_then(|credentials| credentials.user.as_deref());
        let user = user.unwrap_or("default").into();
        match error.code() {
            "WRONGPASS" => Reason::Credentials { address, user },
            "NOAUTH" => Reason::NoCredentials { address },
            "NOPERM" => Reason::NotPermitted {
                user,
                why: error.details().unwrap_or_default().into(),
            },
            "LOADING" => Reason::Loading { address },
            "ERR" if is_unprotected(error) => Reason::Unprotected { address },
            _ => Reason::Strange {
                address,
                text: text(error),
            },
        }
    }
}

impl Connection {
    /// The answer to a question.
    ///
    /// # Errors
    /// There is none, at least not in time: the connection is no good any more.
    pub(crate) async fn ask(
        &mut self,
        command: &Cmd,
        limit: Option<Duration>,
    ) -> Result<Answer, Reason> {
        let answer = self.inner.send_packed_command(command);
        let answer = match limit {
            Some(limit) => timeout(limit, answer).await.map_err(|_| self.silent())?,
            None => answer.await,
        };
        answer.map(said).map_err(|error| self.lost(&error))
    }

    /// The answers to all of these questions, which are asked at once.
    ///
    /// # Errors
    /// There are none, at least not in time: the connection is no good any more.
    pub(crate) async fn ask_all(
        &mut self,
        questions: &Pipeline,
        limit: Duration,
    ) -> Result<Vec<Answer>, Reason> {
        let answers = self
            .inner
            .send_packed_commands(questions, 0, questions.len());
        let answers = timeout(limit, answers).await.map_err(|_| self.silent())?;
        let answers = answers.map_err(|error| self.lost(&error))?;
        Ok(answers.into_iter().map(said).collect())
    }

    fn silent(&self) -> Reason {
        let address = self.address.clone();
        Reason::Silent { address }
    }

    fn lost(&self, error: &RedisError) -> Reason {
        let mut why = error.to_string();
        if !self.is_tls {
            why.push_str("; if it speaks TLS only, the URL is rediss://");
        } else if why.contains("CertificateRequired") {
            why.push_str("; we have no certificate of our own: set tls-auth-clients no");
        }
        Reason::Lost {
            address: self.address.clone(),
            why: why.into(),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

fn said(value: Value) -> Answer {
    if let Value::ServerError(error) = value {
        return Err(error);
    }
    Ok(value)
}

/// What comes of `work`, if it comes in time.
pub(crate) async fn within<T>(
    limit: Duration,
    address: &Address,
    work: impl Future<Output = Result<T, Reason>>,
) -> Result<T, Reason> {
    let silent = |_| Reason::Silent {
        address: address.to_string().into(),
    };
    timeout(limit, work).await.map_err(silent)?
}

/// The first of a host's addresses that takes a connection.
async fn connect(host: &str, port: u16, address: &Address) -> Result<TcpStream, Reason> {
    let unknown = |why: String| Reason::UnknownHost {
        host: host.into(),
        why: why.into(),
    };
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|error| unknown(error.to_string()))?;
    let mut last = unknown("it has no address".to_owned());
    for socket in found {
        match TcpStream::connect(socket).await {
            Ok(stream) => {
                stream
                    .set_nodelay(true)
                    .map_err(|error| unreachable(address, &error))?;
                return Ok(stream);
            }
            Err(error) => last = unreachable(address, &error),
        }
    }
    Err(last)
}

fn unreachable(address: &Address, error: &io::Error) -> Reason {
    Reason::Unreachable {
        address: address.to_string().into(),
        why: error.to_string().into(),
    }
}

fn is_unprotected(error: &ServerError) -> bool {
    let details = error.details().unwrap_or_default();
    details.contains("without any password configured")
}

fn text(error: &ServerError) -> Box<str> {
    format!("{} {}", error.code(), error.details().unwrap_or_default()).into()
}
