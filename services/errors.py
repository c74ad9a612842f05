"""What can go wrong, what the broker does about it, and what a person does: the one catalogue.

    SelarasError
    ├── Transient            try again: nothing is wrong with the message
    │   ├── DatabaseAway
    │   ├── BrokerAway       (also: a publish that nobody confirmed in time)
    │   └── CentralAway
    └── Permanent            cannot help
        ├── MessageRefused   the message goes to quarantine under its code
        └── BackupFailed     a backup was not made, not read or not put back; nothing is changed

A refused change or a refused sync is neither: it is a *result*, a `Problem` in an answer. Every code below has a cause,
who must act, and a next step, in Indonesian and English; the same code is in the event, the log, the metric's label
and on the screen. The rules' codes (PD-01 ...) are in `services.rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Language = Literal["id", "en"]
Who = Literal["operator", "kepala sekolah", "petugas", "ops", "pengirim"]


class SelarasError(Exception):
    """Anything that Selaras itself raises."""


class Transient(SelarasError):
    """Trouble that passes: the message is kept and handled again when the part that is away is back."""


class DatabaseAway(Transient):
    """The database does not answer, is starting, or broke off a transaction."""


class BrokerAway(Transient):
    """The broker does not answer, or did not confirm a message in time: it may or may not have arrived."""


class CentralAway(Transient):
    """Central did not answer a request in time (SYN-10)."""


class Permanent(SelarasError):
    """Trouble that trying again cannot mend.

    `code` is from CATALOGUE; `detail` names fields and limits, never values.
    """

    def __init__(self, code: str, detail: str = "") -> None:
        self.code = code
        self.detail = detail
        super().__init__(f"{code} {CATALOGUE[code].en}{': ' + detail if detail else ''}")


class MessageRefused(Permanent):
    """A message that no handler can take: it is put into quarantine under its MSG- code."""


class BackupFailed(Permanent):
    """A backup that is not made, cannot be read, or is not put back, under its CAD- code; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Explained:
    """A code's meaning. `{...}` in the texts are filled from the problem's own parameters."""

    who: Who
    id: str
    en: str
    next_id: str
    next_en: str

    def text(self, language: Language, params: Mapping[str, str]) -> str:
        """What went wrong, in one sentence."""
        return _fill(self.id if language == "id" else self.en, params)

    def next_step(self, language: Language, params: Mapping[str, str]) -> str:
        """What to do about it, in one sentence."""
        return _fill(self.next_id if language == "id" else self.next_en, params)


def _fill(text: str, params: Mapping[str, str]) -> str:
    for name, value in params.items():
        text = text.replace("{" + name + "}", value)
    return text


CATALOGUE: Mapping[str, Explained] = {
    # ── MSG: a message that cannot be taken ──────────────────────────────────────────────────────────────────────────
    "MSG-01": Explained(
        "pengirim", "Isi pesan bukan JSON yang dapat dibaca", "The body is not readable as strict JSON",
        "Kirim ulang sebagai JSON UTF-8 tanpa kunci ganda, NaN, atau karakter NUL",
        "Send it again as UTF-8 JSON without duplicate keys, NaN or NUL",
    ),
    "MSG-02": Explained(
        "pengirim", "Amplop pesan (CloudEvents 1.0) tidak lengkap", "The CloudEvents 1.0 envelope is not complete",
        "Isi specversion, id, source, type, subject (NPSN), dan data",
        "Fill in specversion, id, source, type, subject (the NPSN) and data",
    ),
    "MSG-03": Explained(
        "pengirim", "Jenis pesan tidak dikenal di antrean ini", "This queue does not know the message's type",
        "Periksa nama dan versi jenis pesan, lihat docs/messages.md",
        "Check the type's name and version against docs/messages.md",
    ),
    "MSG-04": Explained(
        "pengirim", "Pengirim tidak disebut (user_id)", "The sender is not named (user_id)",
        "Setel properti user_id dengan nama pengguna RabbitMQ Anda",
        "Set the property user_id to your RabbitMQ user's name",
    ),
    "MSG-05": Explained(
        "pengirim", "Pengirim tidak berhak berbicara untuk sekolah ini", "The sender may not speak for this school",
        "Minta ops memasukkan pengguna ini untuk sekolah yang dimaksud",
        "Ask ops to enter this user for the school that is meant",
    ),
    "MSG-06": Explained(
        "pengirim", "Routing key dan subject menyebut sekolah yang berbeda",
        "The routing key and the subject name different schools",
        "Samakan routing key dengan subject", "Make the routing key and the subject agree",
    ),
    "MSG-07": Explained(
        "pengirim", "Pesan melebihi batas ukuran", "The message is larger than the limit",
        "Bagi menjadi beberapa pesan (paling besar 1 MiB, 1.000 perubahan)",
        "Split it into several messages (1 MiB and 1,000 changes at most)",
    ),
    "MSG-08": Explained(
        "pengirim", "Id pesan ini sudah dipakai untuk isi yang lain", "This id was used before for other content",
        "Beri id baru untuk isi baru", "Give new content a new id",
    ),
    "MSG-09": Explained(
        "pengirim", "Data pesan tidak sesuai bentuknya", "The message's data do not have its form",
        "Perbaiki isian yang disebut, lihat docs/messages.md", "Mend the field that is named, see docs/messages.md",
    ),
    "MSG-10": Explained(
        "pengirim", "Lebih dari 1.000 perubahan dalam satu pesan", "More than 1,000 changes in one message",
        "Bagi menjadi beberapa pesan", "Split it into several messages",
    ),
    "MSG-11": Explained(
        "ops", "Layanan gagal menangani pesan ini", "The service failed on this message",
        "Baca sebabnya (selaras dead show), perbaiki, lalu ulangi (selaras dead replay)",
        "Read the cause (selaras dead show), mend it, then replay (selaras dead replay)",
    ),
    "MSG-12": Explained(
        "ops", "Broker mengeluarkan pesan ini dari antreannya", "The broker took this message out of its queue",
        "Lihat alasannya (selaras dead show), lalu ulangi (selaras dead replay)",
        "See the reason (selaras dead show), then replay (selaras dead replay)",
    ),
    # ── UBAH: a change that may not be made ──────────────────────────────────────────────────────────────────────────
    "UBAH-01": Explained(
        "operator", "Entitas {entity} tidak dikenal", "The entity {entity} is not known",
        "Periksa nama entitas di docs/entities.md; data dari rilis yang lebih baru dapat diubah setelah Selaras diperbarui",
        "Check the name against docs/entities.md; what a newer release brought can be changed once Selaras is updated",
    ),
    "UBAH-02": Explained(
        "operator", "Isian {field} tidak dikenal", "The field {field} is not known",
        "Periksa nama isian di docs/entities.md; isian dari rilis yang lebih baru dapat diubah setelah Selaras diperbarui",
        "Check the name against docs/entities.md; what a newer release brought can be changed once Selaras is updated",
    ),
    "UBAH-03": Explained(
        "operator", "Nilai {field} tidak muat di kolomnya ({expected})", "The value of {field} does not fit ({expected})",
        "Perbaiki jenis atau panjang nilainya", "Mend the value's type or length",
    ),
    "UBAH-04": Explained(
        "operator", "{field} terkunci: hanya dapat diubah melalui {channel}",
        "{field} is locked: it can be changed through {channel} only",
        "Ajukan perbaikan melalui {channel}, lalu tarik data", "Ask for the correction through {channel}, then pull",
    ),
    "UBAH-05": Explained(
        "operator", "{field} menunjuk data yang tidak ada", "{field} refers to a record that is not there",
        "Kirim dulu data yang ditunjuk, atau perbaiki id-nya", "Send the record it refers to first, or mend the id",
    ),
    "UBAH-06": Explained(
        "operator", "{entity} ini tidak boleh dihapus", "This {entity} may not be deleted",
        "Isi jenis_keluar dan tanggalnya; penghapusan hanya melalui {channel}",
        "Fill in jenis_keluar and its date; deletion is through {channel} only",
    ),
    "UBAH-07": Explained(
        "operator", "Tidak ada yang dapat dihapus dengan id ini", "There is nothing to delete under this id",
        "Periksa record_id", "Check the record_id",
    ),
    "UBAH-08": Explained(
        "operator", "Sekolah ini belum terdaftar di instalasi ini", "This school is not registered at this installation",
        "Jalankan: selaras register NPSN --code KODE", "Run: selaras register NPSN --code CODE",
    ),
    "UBAH-09": Explained(
        "operator", "{entity} adalah data pusat", "{entity} is central's data",
        "Perubahan hanya melalui {channel}, lalu tarik data", "It is changed through {channel} only, then pull",
    ),
    "UBAH-10": Explained(
        "operator", "record_id bukan UUID huruf kecil", "record_id is not a lower-case UUID",
        "Beri UUID huruf kecil", "Give a lower-case UUID",
    ),
    "UBAH-11": Explained(
        "operator", "Pengguna ini tidak berperan operator di sekolah ini", "This user is not an operator of this school",
        "Minta ops memberi peran operator", "Ask ops to give the operator's role",
    ),
    "UBAH-12": Explained(
        "ops", "Perubahan merujuk versi yang tidak pernah ada di pusat", "The change builds on a version central never had",
        "Laporkan ke ops: pelanggaran invarian", "Tell ops: an invariant is violated",
    ),
    "UBAH-13": Explained(
        "operator", "Tidak ada konflik (lagi) pada isian {field} data ini",
        "There is no conflict (any longer) on {field} of this record",
        "Lihat konflik yang masih ada: selaras conflicts NPSN", "See the conflicts that there are: selaras conflicts NPSN",
    ),
    "UBAH-14": Explained(
        "operator", "Penghapusan {entity} ini akan ditolak pusat, jadi mine tidak dapat dipilih",
        "Central would refuse to delete this {entity}, so mine cannot be chosen",
        "Pilih central; penghapusan hanya melalui {channel}", "Choose central; deletion is through {channel} only",
    ),
    "UBAH-15": Explained(
        "ops", "Data ini di pusat diubah di luar Selaras dan tidak terbaca",
        "This record was altered at central outside Selaras and cannot be read",
        "Bukti sesi ini memperbaikinya bila dapat; lalu sinkronkan atau ubah lagi",
        "This session's proof mends it if it can be proven; then sync, or change it, again",
    ),
    "UBAH-16": Explained(
        "operator", "Nilai pusat untuk data ini belum diketahui: pusat sedang dipulihkan",
        "Central's value of this record is not known yet: central is being recovered",
        "Tunggu sampai pemulihan selesai, lalu putuskan lagi", "Wait until the recovery is complete, then decide again",
    ),
    # ── SYN: what an operator meets when asking for a sync or a pull ─────────────────────────────────────────────────
    "SYN-01": Explained(
        "operator", "Sinkronisasi tidak dapat dilakukan, masih ada {n} data invalid",
        "The sync cannot be done, records still invalid: {n}",
        "Perbaiki data invalid (selaras validate NPSN), lalu sinkronkan lagi; tarik data tetap dapat dilakukan",
        "Mend the invalid records (selaras validate NPSN), then sync again; a pull is still possible",
    ),
    "SYN-02": Explained(
        "kepala sekolah", "Sinkronisasi hanya dapat dilakukan oleh akun Kepala Sekolah",
        "A sync can be done by the principal's account only",
        "Minta Kepala Sekolah atau PLT menjalankan sinkronisasi", "Ask the principal or acting principal to sync",
    ),
    "SYN-03": Explained(
        "ops", "Versi aplikasi tidak sesuai, perbarui ke {version}", "The version does not fit, update to {version}",
        "Perbarui Selaras di sekolah ini; tarik data tetap dapat dilakukan bila hanya aturannya yang lama",
        "Update Selaras at this school; a pull is still possible if only its rules are old",
    ),
    "SYN-04": Explained(
        "operator", "Kode registrasi ditolak", "The registration code was refused",
        "Minta kode registrasi baru dari petugas pusat", "Ask central's officer for a new registration code",
    ),
    "SYN-05": Explained(
        "operator", "Data di instalasi ini salinan lama: sesi yang lebih baru sudah pernah mengirim dari sekolah ini",
        "The data here are an old copy: this school has sent in a later session",
        "Jalankan: selaras reinstall NPSN (daftar yang belum terkirim ditampilkan dulu)",
        "Run: selaras reinstall NPSN (it lists first what was never sent)",
    ),
    "SYN-06": Explained(
        "operator", "Instalasi lain sudah terdaftar untuk sekolah ini", "Another installation is registered for this school",
        "Pakai instalasi yang terdaftar (pindahkan yang belum terkirim: selaras export NPSN --unsent FILE), atau minta kode registrasi baru",
        "Use the registered installation (bring over what is unsent: selaras export NPSN --unsent FILE), or ask for a new registration code",
    ),
    "SYN-09": Explained(
        "operator", "Pusat sedang penuh: urutan ke-{position}, giliran {retry_at}",
        "Central is full: number {position} in line, its turn is at {retry_at}",
        "Tunggu: dicoba lagi otomatis pada waktu itu", "Wait: the next try is by itself at that time",
    ),
    "SYN-10": Explained(
        "ops", "Pusat tidak dapat dihubungi sejak {since}", "Central has been out of reach since {since}",
        "Tunggu: dicoba lagi otomatis {retry_at}", "Wait: the next try is by itself at {retry_at}",
    ),
    "SYN-11": Explained(
        "operator", "Registrasi sekolah belum lengkap", "The school's registration is not complete",
        "Jalankan: selaras register NPSN --code KODE; bila sekolah ini sudah pernah sinkron, tanya pusat dahulu",
        "Run: selaras register NPSN --code CODE; if this school has synced before, ask central first",
    ),
    "SYN-12": Explained(
        "operator", "Masih ada {n} konflik yang harus diputuskan", "Conflicts still to be decided: {n}",
        "Lihat dengan selaras conflicts NPSN, putuskan dengan selaras decide, lalu sinkronkan lagi",
        "See them with selaras conflicts NPSN, decide with selaras decide, then sync again",
    ),
    "SYN-13": Explained(
        "operator", "Sinkronisasi sekolah ini sedang berjalan, permintaan ini digabungkan",
        "A sync of this school is running, this request has joined it",
        "Tunggu: hasilnya diberitahukan di sini juga", "Wait: its outcome is told here too",
    ),
    "SYN-14": Explained(
        "operator", "Pusat dipulihkan dari cadangan: sekolah ini memulihkan bagiannya dahulu",
        "Central was put back from a backup: this school recovers its part first",
        "Tunggu: pemulihan berjalan sendiri, lalu permintaan ini dilanjutkan",
        "Wait: the recovery runs by itself, then this request goes on",
    ),
    "SYN-15": Explained(
        "ops", "Pusat kehilangan data yang pernah dinyatakannya; sekolah ini dihentikan",
        "Central lacks what it had stated; this school is stopped",
        "Ops memeriksa basis data pusat; jangan pasang ulang sekolah ini", "Ops look at central's database; do not reinstall this school",
    ),
    "SYN-16": Explained(
        "operator", "Data sekolah berubah sejak daftar yang akan hilang dibuat",
        "The school has changed since it was listed what would be lost",
        "Jalankan lagi: selaras reinstall NPSN", "Run again: selaras reinstall NPSN",
    ),
    "SYN-17": Explained(
        "operator", "Perubahan yang ditunggu belum dijawab: {events}", "Changes that were waited for are not answered: {events}",
        "Kirim ulang perubahan itu, lalu minta lagi", "Send those changes again, then ask again",
    ),
    "SYN-18": Explained(
        "operator", "Tarik data dan pasang ulang hanya dapat diminta oleh operator",
        "Only an operator may ask for a pull or a reinstallation",
        "Minta operator sekolah menjalankannya", "Ask the school's operator to do it",
    ),
    "SYN-19": Explained(
        "operator", "Data sekolah sedang dipasang ulang dari pusat", "The school is being restored from central",
        "Tunggu sampai selesai, lalu ulangi", "Wait until that is complete, then try again",
    ),
    "SYN-20": Explained(
        "ops", "Sekolah dan pusat tidak sama setelah pertukaran ({entities})",
        "School and central are not equal after the exchange ({entities})",
        "Tidak ada data yang hilang; ops memeriksa, lalu sinkronkan lagi",
        "Nothing is lost; ops look into it, then sync again",
    ),
    "SYN-21": Explained(
        "ops", "Sesi terhenti karena kesalahan layanan", "The session stopped on an error of the service",
        "Sinkronkan lagi; bila berulang, hubungi ops", "Sync again; tell ops if it comes back",
    ),
    "SYN-22": Explained(
        "ops", "Sesi berkali-kali digantikan oleh sesi lain", "The session was replaced by another one again and again",
        "Periksa apakah ada dua instalasi untuk sekolah ini", "Check whether this school has two installations",
    ),
    "SYN-23": Explained(
        "ops", "Selaras di sekolah ini terlalu baru untuk pusat ({version})",
        "Selaras at this school is too new for central ({version})",
        "Tunggu sampai pusat diperbarui, lalu sinkronkan lagi", "Wait until central is updated, then sync again",
    ),
    "SYN-24": Explained(
        "ops", "Pernyataan pusat tidak membuktikan apa-apa ({reason})", "Central's statement proves nothing ({reason})",
        "Periksa kunci pusat (SELARAS_CENTRAL_KEYS_FILE) dan siapa yang menjawab; tidak ada data yang hilang",
        "Check central's keys (SELARAS_CENTRAL_KEYS_FILE) and who answers; nothing is lost",
    ),
    "SYN-25": Explained(
        "kepala sekolah", "Salinan di pusat berubah di luar Selaras; salinan sekolah terbukti benar",
        "Central's copy was altered outside Selaras; the school's is proven right",
        "Sinkronkan (kepala sekolah): baris yang terbukti dikembalikan ke pusat; tarik data tidak boleh mengirim",
        "Sync (the principal): the rows that are proven go back to central; a pull may not send",
    ),
    # ── PUSAT: officers' commands at central ─────────────────────────────────────────────────────────────────────────
    "PUSAT-01": Explained(
        "petugas", "Data sudah berubah (versi kini {version})", "The record has changed (its version is now {version})",
        "Baca lagi datanya, lalu ulangi perubahan", "Read the record again, then repeat the change",
    ),
    "PUSAT-02": Explained(
        "petugas", "Tidak boleh dihapus: sudah terverifikasi atau masih dirujuk data lain",
        "It may not be removed: it is confirmed, or other records refer to it",
        "Isi jenis_keluar, atau hapus dulu data yang merujuk", "Fill in jenis_keluar, or remove what refers to it first",
    ),
    "PUSAT-03": Explained(
        "petugas", "Pengguna ini bukan petugas pusat", "This user is not an officer of central",
        "Minta ops memberi peran petugas", "Ask ops to give the officer's role",
    ),
    "PUSAT-04": Explained(
        "petugas", "Sekolah tidak terdaftar di pusat", "The school is not registered at central",
        "Jalankan: selaras officer school add NPSN --baseline FILE", "Run: selaras officer school add NPSN --baseline FILE",
    ),
    "PUSAT-05": Explained(
        "petugas", "Sekolah sudah terdaftar di pusat", "The school is registered at central already",
        "Minta kode baru: selaras officer school code NPSN", "Ask for a new code: selaras officer school code NPSN",
    ),
    "PUSAT-06": Explained(
        "petugas", "Baris {line} berkas baseline tidak dapat dibaca: {reason}",
        "Line {line} of the baseline file cannot be read: {reason}",
        "Perbaiki baris itu; tidak ada yang disimpan", "Mend that line; nothing was stored",
    ),
    "PUSAT-07": Explained(
        "petugas", "Tidak (lagi) menunggu keputusan: {ids}", "Not waiting for a decision (any more): {ids}",
        "Lihat yang menunggu: selaras central listed NPSN", "See what waits: selaras central listed NPSN",
    ),
    "PUSAT-11": Explained(
        "petugas", "Saat itu tidak dapat dibaca", "That is no moment",
        "Sebut confirmed, head, seq, session:NOMOR, tanggal (2026-11-30), waktu (2026-11-30T12:00), atau bukti sinkron",
        "Name confirmed, head, a seq, session:NUMBER, a date (2026-11-30), a time (2026-11-30T12:00), or a receipt",
    ),
    "PUSAT-12": Explained(
        "petugas", "Seq {seq} tidak ada: sekolah ini punya 1 sampai {head}", "There is no seq {seq}: this school has 1 to {head}",
        "Sebut seq di antaranya", "Name one of those",
    ),
    "PUSAT-13": Explained(
        "petugas", "Sekolah ini belum ada di pusat pada saat itu: sejak {since}", "The school was not at central yet: it is since {since}",
        "Sebut saat sesudahnya", "Name a later moment",
    ),
    "PUSAT-14": Explained(
        "petugas", "Saat itu belum tiba: di pusat sekarang {now}", "That moment has not come yet: at central it is {now}",
        "Ulangi sesudahnya, atau sebut confirmed", "Ask again after it, or name confirmed",
    ),
    "PUSAT-15": Explained(
        "petugas", "Bukti itu tidak membuktikan apa pun tentang sekolah ini", "That receipt proves nothing about this school",
        "Periksa berkas dan kuncinya: selaras receipt verify FILE --keys KEYS", "Check the file and its key: selaras receipt verify FILE --keys KEYS",
    ),
    "PUSAT-16": Explained(
        "petugas", "Bukti itu dari masa pusat yang sudah berakhir: riwayatnya sama sampai seq {seq}, dan keadaannya tidak ada lagi persis begitu",
        "That receipt is of a life of central that has ended: the histories are one up to seq {seq}, and its state is not there again as it was",
        "Lihat apa yang kembali: selaras officer receipt FILE", "See what came back: selaras officer receipt FILE",
    ),
    "PUSAT-17": Explained(
        "petugas", "Sesi {session} tidak punya pernyataan di pusat", "Central has no statement of session {session}",
        "Lihat nomornya di situs: selaras history NPSN", "See its number at the site: selaras history NPSN",
    ),
    "PUSAT-18": Explained(
        "petugas", "Saat awal (seq {since}) sesudah saat akhir (seq {seq})", "The first moment (seq {since}) is after the second (seq {seq})",
        "Tukar keduanya", "Exchange the two",
    ),
    # ── CAD: cadangan, backups ───────────────────────────────────────────────────────────────────────────────────────
    "CAD-01": Explained(
        "ops", "Belum ada penerima cadangan yang dapat dipakai", "There is no usable recipient to encrypt a backup for",
        "Buat kunci dengan selaras backup keygen FILE, isi SELARAS_BACKUP_RECIPIENTS dengan kunci publiknya (age1…)",
        "Make a key with selaras backup keygen FILE, and set SELARAS_BACKUP_RECIPIENTS to its public half (age1…)",
    ),
    "CAD-02": Explained(
        "ops", "Folder cadangan tidak dapat dipakai", "The folder for backups cannot be used",
        "Periksa apakah folder itu ada, dapat ditulis, dan masih punya ruang; cadangan yang ada tidak disentuh",
        "Look whether the folder is there, can be written to and has space left; the backups in it are untouched",
    ),
    "CAD-03": Explained(
        "ops", "Kunci ini tidak membuka berkas itu", "This key does not open that file",
        "Pakai kunci dari salah satu penerimanya; jika kuncinya benar, kepala berkas rusak: pakai cadangan lain",
        "Use the key of one of its recipients; if it is the right one, the file's head is damaged: use another backup",
    ),
    "CAD-04": Explained(
        "ops", "Berkas cadangan rusak atau terpotong", "The backup is damaged or cut short",
        "Jangan dipakai; ambil salinan berkas yang sama dari tempat lain, atau cadangan sebelumnya",
        "Do not use it; take the same file from elsewhere, or the backup before it",
    ),
    "CAD-05": Explained(
        "ops", "Berkas ini bukan cadangan Selaras yang dikenal rilis ini", "This is no backup that this release of Selaras knows",
        "Periksa nama berkasnya, dan rilis yang membuatnya", "Look at the file's name, and at the release that made it",
    ),
    "CAD-06": Explained(
        "ops", "Basis data tujuan tidak kosong", "The database to put it into is not empty",
        "Buat basis data baru yang kosong; yang lama disisihkan, jangan ditimpa",
        "Make a new, empty database; put the old one aside, do not overwrite it",
    ),
    "CAD-07": Explained(
        "ops", "Tabel cadangan ini bukan tabel yang dikenal rilis ini", "The backup's tables are not those that this release knows",
        "Pakai rilis yang membuat cadangan itu, atau yang lebih baru", "Use the release that made the backup, or a newer one",
    ),
    "CAD-08": Explained(
        "ops", "Cadangan basis data ini sedang dibuat oleh proses lain", "Another process is making a backup of this database",
        "Tunggu sampai selesai, lihat selaras backup list", "Wait until it is done, see selaras backup list",
    ),
    "CAD-09": Explained(
        "ops", "Basis data tidak memberi atau tidak menerima semuanya", "The database did not give, or did not take, everything",
        "Periksa apakah basis data hidup dan pengguna ini pemiliknya, lalu ulangi",
        "Look whether the database is up and this user owns it, then try again",
    ),
    "CAD-10": Explained(
        "ops", "Berkas kunci tidak dapat dipakai", "The key file cannot be used",
        "Beri berkas yang dibuat selaras backup keygen (AGE-SECRET-KEY-…)",
        "Give the file that selaras backup keygen made (AGE-SECRET-KEY-…)",
    ),
}  # fmt: skip
