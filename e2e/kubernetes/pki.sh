# Keys and certificates of one API server, made for one run. Sourced, not run; needs openssl.

# A key on a curve: quick to make and to use.
key() { # FILE
    openssl ecparam -name prime256v1 -genkey -noout -out "$1" 2>/dev/null
}

# The authority that signs the others: ca.key, ca.crt.
authority() { # FOLDER
    key "$1/ca.key"
    openssl req -x509 -new -key "$1/ca.key" -subj /CN=kubelns-e2e -days 365 -out "$1/ca.crt" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

certificate() { # FOLDER NAME SUBJECT USAGE [ALTERNATIVE-NAMES]
    local file=$1/$2
    key "$file.key"
    {
        echo "keyUsage=digitalSignature"
        echo "extendedKeyUsage=$4"
        [[ -z ${5:-} ]] || echo "subjectAltName=$5"
    } >"$file.ext"
    openssl req -new -key "$file.key" -subj "$3" -out "$file.csr"
    openssl x509 -req -in "$file.csr" -CA "$1/ca.crt" -CAkey "$1/ca.key" -CAcreateserial -days 365 \
        -extfile "$file.ext" -out "$file.crt" 2>/dev/null
    rm "$file.csr" "$file.ext"
}

# What signs the tokens of service accounts: accounts.key, accounts.pub.
account_key() { # FOLDER
    key "$1/accounts.key"
    openssl ec -in "$1/accounts.key" -pubout -out "$1/accounts.pub" 2>/dev/null
}

# For one user of the API server, with all that it needs in one file.
kubeconfig() { # FOLDER NAME SERVER
    cat <<END
apiVersion: v1
kind: Config
clusters:
  - name: kubelns-e2e
    cluster: { server: "$3", certificate-authority-data: $(base64 -w0 "$1/ca.crt") }
users:
  - name: $2
    user: { client-certificate-data: $(base64 -w0 "$1/$2.crt"), client-key-data: $(base64 -w0 "$1/$2.key") }
contexts:
  - name: $2
    context: { cluster: kubelns-e2e, user: $2 }
current-context: $2
END
}
