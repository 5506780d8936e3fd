/* SoftHSM behind a module that notes what is called, and answers as tokens do that SoftHSM is not.

   SHIM_LOG is the file for the notes, SHIM_AS says what to be, in words separated by spaces. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <p11-kit/pkcs11.h>

static CK_FUNCTION_LIST real, functions;

static int is(const char *word)
{
    const char *words = getenv("SHIM_AS");
    return words && strstr(words, word);
}

static void note(const char *what, unsigned long number)
{
    FILE *log = fopen(getenv("SHIM_LOG"), "a");
    if (log) {
        fprintf(log, "%s %#lx\n", what, number);
        fclose(log);
    }
}

static CK_RV get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    CK_RV answer = real.C_GetTokenInfo(slot, info);
    if (is("open"))
        info->flags &= ~(CK_FLAGS)CKF_LOGIN_REQUIRED;
    if (is("keypad"))
        info->flags |= CKF_PROTECTED_AUTHENTICATION_PATH;
    if (is("locked"))
        info->flags |= CKF_USER_PIN_LOCKED;
    if (is("last-try"))
        info->flags |= CKF_USER_PIN_FINAL_TRY;
    if (is("unset"))
        info->flags &= ~(CK_FLAGS)CKF_USER_PIN_INITIALIZED;
    return answer;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, unsigned char *pin, CK_ULONG size)
{
    note("C_Login", user);
    if (is("locks"))
        return CKR_PIN_LOCKED;
    if (is("keypad") && !pin) /* what its user types */
        return real.C_Login(session, user, (unsigned char *)getenv("SHIM_TYPED"), strlen(getenv("SHIM_TYPED")));
    return real.C_Login(session, user, pin, size);
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *session)
{
    CK_RV answer = real.C_OpenSession(slot, flags, application, notify, session);
    note("C_OpenSession", flags);
    if (is("open") && !answer) /* SoftHSM has no tokens without login */
        real.C_Login(*session, CKU_USER, (unsigned char *)getenv("SHIM_TYPED"), strlen(getenv("SHIM_TYPED")));
    return answer;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    note("C_CloseSession", 0);
    return is("gone") ? CKR_DEVICE_REMOVED : real.C_CloseSession(session);
}

static CK_RV logout(CK_SESSION_HANDLE session)
{
    note("C_Logout", 0);
    return is("gone") ? CKR_DEVICE_REMOVED : real.C_Logout(session);
}

static CK_RV finalize(void *reserved)
{
    note("C_Finalize", 0);
    return real.C_Finalize(reserved);
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    note("C_SignInit", mechanism->mechanism);
    if (is("gone"))
        return CKR_DEVICE_REMOVED;
    if (is("hashing"))
        return CKR_MECHANISM_INVALID;
    return real.C_SignInit(session, mechanism, key);
}

static CK_RV sign(CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG size, unsigned char *out, CK_ULONG *out_size)
{
    CK_RV answer = real.C_Sign(session, data, size, out, out_size);
    if (out) {
        note("C_Sign", size);
        if (is("faulty"))
            out[*out_size - 1] ^= 1;
    }
    return answer;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    for (CK_ULONG i = 0; i < count; i++) {
        note("C_GetAttributeValue", attributes[i].type);
        if (is("silent") && attributes[i].type == CKA_EC_POINT) {
            attributes[i].ulValueLen = (CK_ULONG)-1;
            return CKR_ATTRIBUTE_TYPE_INVALID;
        }
    }
    if (is("bare") && count == 1 && attributes[0].type == CKA_EC_POINT) {
        unsigned char point[256];
        CK_ATTRIBUTE whole = { CKA_EC_POINT, point, sizeof(point) };
        CK_RV answer = real.C_GetAttributeValue(session, object, &whole, 1);
        if (answer == CKR_OK && whole.ulValueLen > 2) {
            attributes[0].ulValueLen = whole.ulValueLen - 2; /* the OCTET STRING's tag and length */
            if (attributes[0].pValue)
                memcpy(attributes[0].pValue, point + 2, whole.ulValueLen - 2);
            return answer;
        }
    }
    return real.C_GetAttributeValue(session, object, attributes, count);
}

static CK_RV get_slot_list(CK_BBOOL present, CK_SLOT_ID *slots, CK_ULONG *count)
{
    if (is("empty")) {
        *count = 0;
        return CKR_OK;
    }
    return real.C_GetSlotList(present, slots, count);
}

static CK_RV wrap_key(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping, CK_OBJECT_HANDLE key,
                      unsigned char *out, CK_ULONG *size)
{
    note("C_WrapKey", key);
    return real.C_WrapKey(session, mechanism, wrapping, key, out, size);
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    void *library = dlopen(getenv("SHIM_MODULE"), RTLD_NOW);
    CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList") : NULL;
    CK_FUNCTION_LIST *found;
    if (!get || get(&found) != CKR_OK)
        return CKR_GENERAL_ERROR;
    real = functions = *found;
    functions.C_GetFunctionList = C_GetFunctionList;
    functions.C_GetTokenInfo = get_token_info;
    functions.C_GetSlotList = get_slot_list;
    functions.C_OpenSession = open_session;
    functions.C_CloseSession = close_session;
    functions.C_Login = login;
    functions.C_Logout = logout;
    functions.C_Finalize = finalize;
    functions.C_SignInit = sign_init;
    functions.C_Sign = sign;
    functions.C_GetAttributeValue = get_attribute_value;
    functions.C_WrapKey = wrap_key;
    *list = &functions;
    return CKR_OK;
}
