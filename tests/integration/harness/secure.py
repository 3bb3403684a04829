"""
A pipeline whose Kafka takes TLS and SASL alone, and whose MongoDB takes TLS
and passwords alone, with a certificate authority of its own.
"""

import os
import socket
import subprocess

import confluent_kafka
import pymongo

from .pipeline import Pipeline, processes
from .waiting import wait_until

free_port = processes.free_port

ADMIN, ADMIN_PASSWORD = "admin", "adm1n-Kp4"
WRITER, WRITER_PASSWORD = "millrace", "wr1te-9sX"
READER, READER_PASSWORD = "reader", "re4d-Lm2"
SECRETS = (ADMIN_PASSWORD, WRITER_PASSWORD, READER_PASSWORD)

LOGIN = ("org.apache.kafka.common.security.scram.ScramLoginModule required "
         f'username="{ADMIN}" password="{ADMIN_PASSWORD}";')


def openssl(*arguments, cwd):
    done = subprocess.run(["openssl", *arguments], cwd=cwd, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout


def authority(folder, name):
    """<name>.crt and <name>.key: what signs certificates."""

    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            "-subj", f"/O=Millrace tests/CN={name}", "-keyout", f"{name}.key",
            "-out", f"{name}.crt", cwd=folder)
    return os.path.join(folder, f"{name}.crt")


def certificate(folder, ca, name):
    """<name>.pem: key and certificate of a server on 127.0.0.1."""

    with open(os.path.join(folder, "san"), "w") as f:
        f.write("subjectAltName=IP:127.0.0.1,DNS:localhost\n")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key",
            "-subj", f"/O=Millrace tests/OU=servers/CN={name}",
            "-out", f"{name}.csr", cwd=folder)
    openssl("x509", "-req", "-in", f"{name}.csr", "-days", "2",
            "-CA", f"{ca}.crt", "-CAkey", f"{ca}.key", "-CAcreateserial",
            "-extfile", "san", "-out", f"{name}.crt", cwd=folder)
    path = os.path.join(folder, f"{name}.pem")
    with open(path, "w") as out:
        for part in "key", "crt":
            with open(os.path.join(folder, f"{name}.{part}")) as f:
                out.write(f.read())
    return path


class SecurePipeline(Pipeline):

    def __init__(self, directory, build, **settings):
        super().__init__(directory, build, **settings)
        folder = self.path("tls")
        os.makedirs(folder)
        self.ca = authority(folder, "ca")
        self.other_ca = authority(folder, "other")
        self.server = certificate(folder, "ca", "server")
        self.key_file = self.path("tls/replica-set")
        with open(self.key_file, "w") as f:
            f.write("bWlsbHJhY2UtdGVzdHM=\n")
        os.chmod(self.key_file, 0o400)
        self.users = False
        self.environment["MILLRACE_KAFKA_SASL_PASSWORD"] = WRITER_PASSWORD
        self.options = {**self.options, "kafka": {
            **self.options.get("kafka", {}),
            "security.protocol": "SASL_SSL", "ssl.ca.location": self.ca,
            "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": WRITER}}
        self.kafka_properties = {
            "listeners": f"SASL_SSL://127.0.0.1:{self.ports['kafka']},"
                         f"CONTROLLER://127.0.0.1:{self.ports['controller']}",
            "advertised.listeners":
                f"SASL_SSL://127.0.0.1:{self.ports['kafka']}",
            "listener.security.protocol.map":
                "SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT",
            "inter.broker.listener.name": "SASL_SSL",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": LOGIN,
            "ssl.keystore.type": "PEM", "ssl.keystore.location": self.server,
            "ssl.truststore.type": "PEM", "ssl.truststore.location": self.ca}
        self.format_options = [part for user, password in (
            (ADMIN, ADMIN_PASSWORD), (WRITER, WRITER_PASSWORD)) for part in (
            "--add-scram",
            f"SCRAM-SHA-512=[name={user},password={password}]")]
        self.nginx_changes = {"millrace_topic   events;": "\n    ".join((
            "millrace_topic   events;",
            "millrace_kafka security.protocol SASL_SSL;",
            "millrace_kafka sasl.mechanism SCRAM-SHA-512;",
            f"millrace_kafka sasl.username {WRITER};",
            f"millrace_kafka sasl.password {WRITER_PASSWORD};",
            f"millrace_kafka ssl.ca.location {self.ca};"))}

    def uri(self, user, password, ca=None):
        return (f"mongodb://{user}:{password}@127.0.0.1:"
                f"{self.ports['mongod']}/?replicaSet=rs0&authSource=admin"
                f"&tls=true&tlsCAFile={ca or self.ca}")

    @property
    def mongo_uri(self):
        return self.uri(ADMIN, ADMIN_PASSWORD)

    # How the servers are made.

    def configure(self):
        # The file is for everybody: the passwords come by the environment.
        self.options["mongodb"] = {
            "uri": f"mongodb://127.0.0.1:{self.ports['mongod']}/"
                   f"?replicaSet=rs0&tls=true&tlsCAFile={self.ca}"}
        super().configure()
        with open(self.path("conf/mongod.conf")) as f:
            text = f.read()
        text = text.replace("net:\n", "net:\n  tls:\n    mode: requireTLS\n"
                            f"    certificateKeyFile: {self.server}\n"
                            f"    CAFile: {self.ca}\n"
                            "    allowConnectionsWithoutCertificates: true\n",
                            1)
        text += ("\nsecurity:\n  authorization: enabled\n"
                 f"  keyFile: {self.key_file}\n")
        with open(self.path("conf/mongod.conf"), "w") as f:
            f.write(text)

    def _is_ready(self, name):
        if name == "kafka":
            return self._kafka_ready()
        return super()._is_ready(name)

    def _kafka_ready(self):
        try:
            socket.create_connection(
                ("127.0.0.1", self.ports["kafka"]), 2).close()
        except OSError:
            return False
        consumer = self.consumer()
        try:
            return len(consumer.list_topics(timeout=5).brokers) == 1
        except confluent_kafka.KafkaException:
            return False
        finally:
            consumer.close()

    def _mongod_ready(self):
        """It answers; the set and its users are made by initiate()."""

        with self.direct() as client:
            try:
                primary = client.admin.command("hello")["isWritablePrimary"]
            except pymongo.errors.PyMongoError:
                return False
            return primary or not self.users

    def _command(self, name):
        command, extra = super()._command(name)
        if name == "millrace-query":  # it only reads
            extra = {**extra, "MILLRACE_MONGODB_URI":
                     self.uri(READER, READER_PASSWORD)}
        return command, extra

    # What the test does.

    def direct(self, **more):
        return pymongo.MongoClient(
            "127.0.0.1", self.ports["mongod"], directConnection=True,
            tls=True, tlsCAFile=self.ca, serverSelectionTimeoutMS=3000,
            **more)

    def client(self, kind, **more):
        return kind({
            "bootstrap.servers": self.brokers, "group.id": "audit",
            "security.protocol": "SASL_SSL", "ssl.ca.location": self.ca,
            "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": WRITER,
            "sasl.password": WRITER_PASSWORD, **more})

    def initiate(self):
        """The replica set by millrace-setup, then the users of MongoDB."""

        done = self.program("setup", "--initiate", "--timeout", "5")
        with self.direct() as client:
            wait_until(lambda: client.admin.command("hello")[
                "isWritablePrimary"], 30, lambda: done.stdout)
            # The first user may be made from the same machine.
            client.admin.command("createUser", ADMIN, pwd=ADMIN_PASSWORD,
                                 roles=["root"])
        with self.direct(username=ADMIN, password=ADMIN_PASSWORD) as client:
            for user, password, role in (
                    (WRITER, WRITER_PASSWORD, "readWrite"),
                    (READER, READER_PASSWORD, "read")):
                client.admin.command(
                    "createUser", user, pwd=password,
                    roles=[{"role": role, "db": "millrace"}])
        self.users = True
        self.environment["MILLRACE_MONGODB_URI"] = self.uri(
            WRITER, WRITER_PASSWORD)
        return done

    def program(self, name, *arguments, **environment):
        return subprocess.run(
            [self._binary(f"millrace-{name}"), "-c", self.conf, *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, cwd=self.directory, text=True,
            env=self._environment({"MILLRACE_LOG": "debug", **environment}),
            timeout=120, check=False)

    def consumer(self):
        return self.client(confluent_kafka.Consumer)
